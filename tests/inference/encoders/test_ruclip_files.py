"""A ruCLIP folder as it comes from the hub, against the independent forward pass."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from inference.checkpoints.weight_files.state import ImportFailed
from inference.encoders.base import build_encoder
from inference.encoders.ruclip_files import config_of, import_ruclip, is_ruclip
from tests.inference.encoders.test_ruclip import (
    SMALL,
    TEXTS,
    image_features,
    original_state,
    text_features,
)
from tests.inference.tokenizers.test_youtokentome import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(original_state(SMALL), tmp_path / "pytorch_model.bin")
    stated = {name: value for name, value in asdict(SMALL).items() if name != "vision_heads"}
    (tmp_path / "config.json").write_text(json.dumps({**stated, "mean": [0.5, 0.5, 0.5]}))
    write(tmp_path / "bpe.model")
    return tmp_path


@torch.no_grad()
def test_both_towers_equal_the_independent_forward_pass(folder: Path) -> None:
    state = original_state(SMALL)
    assert is_ruclip(state)
    found = import_ruclip(folder)
    assert found.model.config == SMALL
    assert found.tokenizer is not None
    assert found.tokenizer.encode("кот") == [12]
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    expected = torch.stack([image_features(state, SMALL, picture) for picture in pictures])
    torch.testing.assert_close(found.model.encode_image(pictures), expected, atol=1e-5, rtol=1e-5)
    texts = torch.stack([text_features(state, SMALL, row) for row in TEXTS.tolist()])
    torch.testing.assert_close(found.model.encode_text(TEXTS), texts, atol=1e-5, rtol=1e-5)

    encoder = found.encoder()
    normal = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(encoder(pictures), normal, atol=1e-5, rtol=1e-5)
    again = build_encoder(encoder.settings).eval()
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(pictures), encoder(pictures))


def test_sizes_are_told_by_the_shapes_where_there_is_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "bpe.model").unlink()
    told = config_of(original_state(SMALL))
    assert told == replace(SMALL, transformer_heads=1)  # 32 wide: less than one usual head
    found = import_ruclip(folder / "pytorch_model.bin")
    assert found.model.config == told
    assert found.tokenizer is None


def test_a_config_of_another_model_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**asdict(SMALL), "image_resolution": 64}))
    with pytest.raises(ImportFailed, match=r"says image_resolution is 64, the weights have 32"):
        import_ruclip(folder)
    for heads, sentence in ((7, "which 7 do not divide"), (0, "which 0 do not"), ("8", "is no whole number")):
        (folder / "config.json").write_text(json.dumps({**asdict(SMALL), "transformer_heads": heads}))
        with pytest.raises(ImportFailed, match=f"transformer_heads.* {sentence}"):
            import_ruclip(folder)
    with pytest.raises(FileNotFoundError, match="are missing"):
        import_ruclip(folder / "elsewhere")
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ImportFailed, match="This is no ruCLIP model"):
        import_ruclip(folder)


@torch.no_grad()
def test_siblings_and_openai_files_are_read_too(folder: Path) -> None:
    """Half precision, other mean and deviation, a side that is no multiple of the patch, a convolution with a
    bias; and what OpenAI's own files hold besides."""
    state = original_state(SMALL)
    bias = torch.linspace(-1, 1, SMALL.vision_width)
    torch.save(
        {"state_dict": {**{k: v.half() for k, v in state.items()}, "visual.conv1.bias": bias}},
        folder / "pytorch_model.bin",
    )
    stated = {**asdict(SMALL), "image_resolution": 35, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps(stated))
    found = import_ruclip(folder)
    assert (found.preprocessing.size, found.preprocessing.fit) == (35, "middle")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert found.encoder().settings["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    whole = {key: value.half().float() for key, value in state.items()}
    whole["visual.positional_embedding"][1:] += bias  # where the bias of every patch can be added as well
    pixels = torch.randn(1, 3, 35, 35, generator=torch.Generator().manual_seed(6))
    expected = image_features(whole, SMALL, pixels[0, :, :32, :32])
    torch.testing.assert_close(found.model.encode_image(pixels)[0], expected, atol=1e-5, rtol=1e-5)

    alone = folder / "ViT.pt"
    counts = {"input_resolution": 32, "context_length": 10, "vocab_size": 50}
    torch.save({**state, **{name: torch.tensor(count) for name, count in counts.items()}}, alone)
    (folder / "config.json").unlink()
    openai = import_ruclip(alone)
    assert (openai.preprocessing.fit, openai.preprocessing.filter) == ("crop", "bicubic")
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    expected = image_features(state, SMALL, pixels[0])
    torch.testing.assert_close(openai.encoder()(pixels)[0], expected, atol=1e-5, rtol=1e-5)
