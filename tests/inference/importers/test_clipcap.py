"""ClipCap files, written here by the documented names and run by an independent forward pass."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from inference.checkpoints.weight_files.state import ImportFailed
from inference.common.types import DecodingOptions
from inference.decoders.base import build_decoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.search import generate
from inference.importers.clipcap import import_clipcap, is_clipcap

V, W, LAYERS, POSITIONS = 90, 128, 2, 48  # two heads of 64
D, K, CLIP = 20, 5, 3
State = dict[str, Tensor]


def original(mapper: str, words: int = V, picture: int = D) -> State:
    """Random weights under ClipCap's names."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.1

    state: State = {}
    gpt = "gpt.transformer."
    state[gpt + "wte.weight"] = draw(words, W) * 3
    state[gpt + "wpe.weight"] = draw(POSITIONS, W)
    for i in range(LAYERS):
        for norm in ("ln_1", "ln_2"):
            state[f"{gpt}h.{i}.{norm}.weight"] = 1 + draw(W)
            state[f"{gpt}h.{i}.{norm}.bias"] = draw(W)
        for name, inner, outer in (
            ("attn.c_attn", W, 3 * W),
            ("attn.c_proj", W, W),
            ("mlp.c_fc", W, 4 * W),
            ("mlp.c_proj", 4 * W, W),
        ):
            state[f"{gpt}h.{i}.{name}.weight"] = draw(inner, outer)
            state[f"{gpt}h.{i}.{name}.bias"] = draw(outer)
    state[gpt + "ln_f.weight"] = 1 + draw(W)
    state[gpt + "ln_f.bias"] = draw(W)
    state["gpt.lm_head.weight"] = state[gpt + "wte.weight"]
    if mapper == "linear":
        state["clip_project.weight"], state["clip_project.bias"] = draw(K * W, picture), draw(K * W)
        return state
    if mapper == "mlp":
        state["clip_project.model.0.weight"] = draw(K * W // 2, picture)
        state["clip_project.model.0.bias"] = draw(K * W // 2)
        state["clip_project.model.2.weight"] = draw(K * W, K * W // 2)
        state["clip_project.model.2.bias"] = draw(K * W)
        return state
    state["clip_project.linear.weight"] = draw(CLIP * W, picture)
    state["clip_project.linear.bias"] = draw(CLIP * W)
    state["clip_project.prefix_const"] = draw(K, W) * 5
    for i in range(3):
        layer = f"clip_project.transformer.layers.{i}."
        for norm in ("norm1", "norm2"):
            state[layer + norm + ".weight"] = 1 + draw(W)
            state[layer + norm + ".bias"] = draw(W)
        state[layer + "attn.to_queries.weight"] = draw(W, W)
        state[layer + "attn.to_keys_values.weight"] = draw(2 * W, W)
        state[layer + "attn.project.weight"] = draw(W, W)
        state[layer + "attn.project.bias"] = draw(W)
        state[layer + "mlp.fc1.weight"] = draw(2 * W, W)
        state[layer + "mlp.fc1.bias"] = draw(2 * W)
        state[layer + "mlp.fc2.weight"] = draw(W, 2 * W)
        state[layer + "mlp.fc2.bias"] = draw(W)
    return state


def norm(x: Tensor, state: State, name: str) -> Tensor:
    return layer_norm(x, (W,), state[name + ".weight"], state[name + ".bias"])


def prefix_of(state: State, picture: Tensor, mapper: str) -> Tensor:
    name = "clip_project."
    if mapper == "linear":
        return (state[name + "weight"] @ picture + state[name + "bias"]).view(K, W)
    if mapper == "mlp":
        inner = torch.tanh(state[name + "model.0.weight"] @ picture + state[name + "model.0.bias"])
        return (state[name + "model.2.weight"] @ inner + state[name + "model.2.bias"]).view(K, W)
    x = (state[name + "linear.weight"] @ picture + state[name + "linear.bias"]).view(CLIP, W)
    x = torch.cat([x, state[name + "prefix_const"]])
    each = W // 8
    for i in range(3):
        layer = f"{name}transformer.layers.{i}."
        y = norm(x, state, layer + "norm1")
        queries = y @ state[layer + "attn.to_queries.weight"].T
        keys, values = (y @ state[layer + "attn.to_keys_values.weight"].T).split(W, 1)
        heads = []
        for h in range(8):
            part = slice(h * each, (h + 1) * each)
            scores = queries[:, part] @ keys[:, part].T * each**-0.5
            heads.append(scores.softmax(1) @ values[:, part])
        mixed = torch.cat(heads, 1) @ state[layer + "attn.project.weight"].T
        x = x + mixed + state[layer + "attn.project.bias"]
        y = (
            norm(x, state, layer + "norm2") @ state[layer + "mlp.fc1.weight"].T
            + state[layer + "mlp.fc1.bias"]
        )
        x = x + torch.relu(y) @ state[layer + "mlp.fc2.weight"].T + state[layer + "mlp.fc2.bias"]
    return x[CLIP:]


def gpt2(state: State, x: Tensor) -> Tensor:
    """Embeddings (t, W) to logits (t, V)."""
    t = len(x)
    x = x + state["gpt.transformer.wpe.weight"][:t]
    for i in range(LAYERS):
        name = f"gpt.transformer.h.{i}."
        y = (
            norm(x, state, name + "ln_1") @ state[name + "attn.c_attn.weight"]
            + state[name + "attn.c_attn.bias"]
        )
        q, k, v = y.split(W, 1)
        heads = []
        for h in range(W // 64):
            part = slice(h * 64, (h + 1) * 64)
            scores = q[:, part] @ k[:, part].T / 8
            scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
            heads.append(scores.softmax(1) @ v[:, part])
        x = x + torch.cat(heads, 1) @ state[name + "attn.c_proj.weight"] + state[name + "attn.c_proj.bias"]
        y = norm(x, state, name + "ln_2") @ state[name + "mlp.c_fc.weight"] + state[name + "mlp.c_fc.bias"]
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + y @ state[name + "mlp.c_proj.weight"] + state[name + "mlp.c_proj.bias"]
    return norm(x, state, "gpt.transformer.ln_f") @ state["gpt.lm_head.weight"].T


@pytest.mark.parametrize("mapper", ["mlp", "linear", "transformer"])
@pytest.mark.parametrize("old", [False, True])
@torch.no_grad()
def test_outputs_equal_the_independent_forward_pass(mapper: str, old: bool, tmp_path: Path) -> None:
    state = original(mapper)
    path = tmp_path / "coco-009.pt"
    if old:  # buffers that old library versions saved, and no second copy of the embedding
        buffers = {
            f"gpt.transformer.h.{i}.attn.{name}": torch.ones(1)
            for i in range(LAYERS)
            for name in ("bias", "masked_bias")
        }
        torch.save({**{k: v for k, v in state.items() if k != "gpt.lm_head.weight"}, **buffers}, path)
    else:
        torch.save(state, path)
    assert is_clipcap(state)
    decoder = import_clipcap(path)
    pictures = torch.randn(2, D, generator=torch.Generator().manual_seed(4))
    tokens = torch.randint(0, V, (2, 9), generator=torch.Generator().manual_seed(5))
    logits = decoder(pictures, tokens)
    greedy = generate(
        TorchDecoder(decoder), pictures, DecodingOptions("greedy", max_tokens=12), bos=0, eos=V - 1, pad=0
    )
    for i in range(2):
        prefix = prefix_of(state, pictures[i], mapper)
        words = state["gpt.transformer.wte.weight"]
        expected = gpt2(state, torch.cat([prefix, words[tokens[i, 1:]]]))[K - 1 :]
        torch.testing.assert_close(logits[i], expected, atol=1e-5, rtol=1e-5)
        said: list[int] = []  # the original's loop: every step feeds the whole sentence again
        while len(said) < 12:
            said.append(int(gpt2(state, torch.cat([prefix, words[said]]))[-1].argmax()))
            if said[-1] == V - 1:
                break
        assert greedy.tokens[i] == [token for token in said if token != V - 1]


def test_its_settings_build_its_like(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(original("transformer"), path)
    decoder = import_clipcap(path, train_gpt=True)
    again = build_decoder(decoder.settings)
    again.load_state_dict(decoder.state_dict())
    assert again.settings == decoder.settings
    assert decoder.settings["train_gpt"] is True
    assert (decoder.config.prefix, decoder.config.clip_length, decoder.config.heads) == (K, CLIP, 2)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    state = original("mlp")
    cases = [
        (
            {"a": torch.zeros(1)},
            "This is no ClipCap checkpoint: it has no tensor 'gpt.transformer.wte.weight'",
        ),
        ({**state, "gpt.lm_head.weight": torch.zeros(V, W)}, "has an output layer of its own"),
        ({**state, "gpt.transformer.h.2.ln_1.bias": torch.zeros(W)}, "does not fit the captioner"),
        (
            {key: value for key, value in state.items() if not key.startswith("clip_project")},
            "no tensor 'clip_project.model.0.weight'",
        ),
    ]
    for broken, sentence in cases:
        torch.save(broken, path)
        with pytest.raises(ImportFailed, match=sentence):
            import_clipcap(path)
