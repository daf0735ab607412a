"""The web service's decoder against the original's formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.checkpoints.weight_files.state import ImportFailed
from inference.importers.soft_attention import import_soft_attention, is_soft_attention
from tests.inference.importers.test_meme_baseline import State, draw, lstm_cell


def soft_attention_state(size: int = 11, picture: int = 6) -> State:
    """Random weights under the MobileNet captioner's names."""
    width, hidden, attended = 8, 10, 14
    shapes = {
        "embed.weight": (size, width),
        "lstm_cell.weight_ih": (4 * hidden, width + picture),
        "lstm_cell.weight_hh": (4 * hidden, hidden),
        "lstm_cell.bias_ih": (4 * hidden,),
        "lstm_cell.bias_hh": (4 * hidden,),
        "fc.weight": (size, hidden),
        "fc.bias": (size,),
        "attention.encoder_attn.weight": (attended, picture),
        "attention.encoder_attn.bias": (attended,),
        "attention.decoder_attn.weight": (attended, hidden),
        "attention.decoder_attn.bias": (attended,),
        "attention.full_attn.weight": (1, attended),
        "attention.full_attn.bias": (1,),
        "init_h.weight": (hidden, picture),
        "init_h.bias": (hidden,),
        "init_c.weight": (hidden, picture),
        "init_c.bias": (hidden,),
        "f_beta.weight": (picture, hidden),
        "f_beta.bias": (picture,),
    }
    return {name: draw(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("names", ["service", "tutorial"])
@torch.no_grad()
def test_soft_attention_equals_the_original(names: str, tmp_path: Path) -> None:
    state = soft_attention_state()
    path = tmp_path / "attention.pt"
    called = {
        key.replace("_attn.", "_att.")
        .replace("embed.", "embedding.")
        .replace("lstm_cell.", "decode_step."): v
        for key, v in state.items()
    }
    saved = state if names == "service" else called
    assert is_soft_attention(saved)
    torch.save(saved, path)
    decoder = import_soft_attention(path)
    grids = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(2))
    tokens = torch.tensor([[1, 4, 5, 6], [1, 9, 3, 2]])
    logits = decoder(grids, tokens)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[name + ".weight"].T + state[name + ".bias"]

    cell = {name: state[f"lstm_cell.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    weights = (cell["weight_ih"], cell["weight_hh"], cell["bias_ih"], cell["bias_hh"])
    for i, grid in enumerate(grids):
        h, c = linear("init_h", grid.mean(0)), linear("init_c", grid.mean(0))
        for t, token in enumerate(tokens[i].tolist()):
            mixed = torch.relu(linear("attention.encoder_attn", grid) + linear("attention.decoder_attn", h))
            alpha = linear("attention.full_attn", mixed)[:, 0].softmax(0)
            seen = torch.sigmoid(linear("f_beta", h)) * (alpha @ grid)
            h, c = lstm_cell(torch.cat([state["embed.weight"][token], seen]), h, c, weights)
            torch.testing.assert_close(logits[i, t], linear("fc", h), atol=1e-5, rtol=1e-5)


def test_another_decoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "attention.pt"
    state = soft_attention_state()
    del state["f_beta.bias"]
    torch.save(state, path)
    with pytest.raises(ImportFailed, match=r"gate\.bias is missing"):
        import_soft_attention(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(ImportFailed, match="This is no soft attention decoder"):
        import_soft_attention(path)
