"""The VQGAN encoder against an independent forward pass over weights in the original's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, group_norm

from inference.checkpoints.weight_files.state import ImportFailed
from inference.encoders.base import build_encoder
from inference.importers.rudolph import import_vqgan

State = dict[str, Tensor]
CHANNELS, MULTIPLIERS, BLOCKS, DEPTH, CODES = 32, (1, 2), 2, 16, 24


def original_state() -> State:
    generator = torch.Generator().manual_seed(0)
    state: State = {}

    def conv(name: str, entry: int, out: int, kernel: int) -> None:
        state[name + ".weight"] = (
            torch.randn(out, entry, kernel, kernel, generator=generator) / (entry * kernel) ** 0.5
        )
        state[name + ".bias"] = torch.randn(out, generator=generator) * 0.1

    def norm(name: str, channels: int) -> None:
        state[name + ".weight"] = 1 + torch.randn(channels, generator=generator) * 0.1
        state[name + ".bias"] = torch.randn(channels, generator=generator) * 0.1

    def block(name: str, entry: int, out: int) -> None:
        norm(name + ".norm1", entry)
        conv(name + ".conv1", entry, out, 3)
        norm(name + ".norm2", out)
        conv(name + ".conv2", out, out, 3)
        if entry != out:
            conv(name + ".nin_shortcut", entry, out, 1)

    def attention(name: str, channels: int) -> None:
        norm(name + ".norm", channels)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.{part}", channels, channels, 1)

    conv("encoder.conv_in", 3, CHANNELS, 3)
    for i, factor in enumerate(MULTIPLIERS):
        entry, out = CHANNELS * ([1, *MULTIPLIERS][i]), CHANNELS * factor
        for j in range(BLOCKS):
            block(f"encoder.down.{i}.block.{j}", out if j else entry, out)
            if i == len(MULTIPLIERS) - 1:
                attention(f"encoder.down.{i}.attn.{j}", out)
        if i < len(MULTIPLIERS) - 1:
            conv(f"encoder.down.{i}.downsample.conv", out, out, 3)
    deepest = CHANNELS * MULTIPLIERS[-1]
    block("encoder.mid.block_1", deepest, deepest)
    attention("encoder.mid.attn_1", deepest)
    block("encoder.mid.block_2", deepest, deepest)
    norm("encoder.norm_out", deepest)
    conv("encoder.conv_out", deepest, DEPTH, 3)
    conv("quant_conv", DEPTH, DEPTH, 1)
    conv("quantize.proj", DEPTH, CODES, 1)
    state["quantize.embed.weight"] = torch.randn(CODES, DEPTH, generator=generator)
    conv("decoder.conv_in", DEPTH, 8, 3)  # the half that draws pictures, which is left out
    conv("post_quant_conv", DEPTH, DEPTH, 1)
    return state


def original_forward(state: State, x: Tensor) -> Tensor:
    def conv(name: str, x: Tensor, **how: int) -> Tensor:
        return conv2d(x, state[name + ".weight"], state[name + ".bias"], **how)

    def swished(name: str, x: Tensor) -> Tensor:
        y = group_norm(x, 32, state[name + ".weight"], state[name + ".bias"], 1e-6)
        return y / (1 + torch.exp(-y))

    def block(name: str, x: Tensor) -> Tensor:
        y = conv(name + ".conv1", swished(name + ".norm1", x), padding=1)
        y = conv(name + ".conv2", swished(name + ".norm2", y), padding=1)
        return y + (conv(name + ".nin_shortcut", x) if name + ".nin_shortcut.weight" in state else x)

    def attention(name: str, x: Tensor) -> Tensor:
        y = group_norm(x, 32, state[name + ".norm.weight"], state[name + ".norm.bias"], 1e-6)
        q, k, v = (conv(f"{name}.{part}", y).flatten(2) for part in "qkv")  # (n, c, p)
        weights = (torch.einsum("nci,ncj->nij", q, k) * q.shape[1] ** -0.5).softmax(2)
        return x + conv(name + ".proj_out", torch.einsum("nij,ncj->nci", weights, v).view(x.shape))

    x = conv("encoder.conv_in", x, padding=1)
    for i in range(len(MULTIPLIERS)):
        for j in range(BLOCKS):
            x = block(f"encoder.down.{i}.block.{j}", x)
            if i == len(MULTIPLIERS) - 1:
                x = attention(f"encoder.down.{i}.attn.{j}", x)
        if i < len(MULTIPLIERS) - 1:
            wider = torch.zeros(*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1)
            wider[:, :, :-1, :-1] = x
            x = conv(f"encoder.down.{i}.downsample.conv", wider, stride=2)
    x = block("encoder.mid.block_2", attention("encoder.mid.attn_1", block("encoder.mid.block_1", x)))
    x = conv("encoder.conv_out", swished("encoder.norm_out", x), padding=1)
    return conv("quantize.proj", conv("quant_conv", x))


@pytest.mark.parametrize("prefix", ["", "model."])
@torch.no_grad()
def test_codes_equal_the_independent_forward_pass(prefix: str, tmp_path: Path) -> None:
    state = original_state()
    path = tmp_path / "vqgan.gumbelf8-sber.model.ckpt"
    torch.save({"state_dict": {prefix + key: value for key, value in state.items()}}, path)
    encoder = import_vqgan(path)
    pixels = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = original_forward(state, pixels)
    torch.testing.assert_close(encoder.logits(pixels), expected, atol=1e-4, rtol=1e-5)
    codes = encoder(pixels)
    assert codes.tolist() == [[int(place.argmax()) for place in one.flatten(1).T] for one in expected]
    assert codes.shape == (2, 144)
    assert codes.unique().numel() > 4
    again = build_encoder(encoder.settings)
    again.load_state_dict(encoder.state_dict())


def test_the_published_size_gives_16_by_16_codes_of_128_pixels() -> None:
    with torch.device("meta"):
        encoder = build_encoder({"kind": "vqgan"}).eval()
        codes = encoder(torch.empty(1, 3, 128, 128))
    assert encoder.preprocessing.size == 128
    assert encoder.preprocessing.fit == "squash"
    assert codes.shape == (1, 256) == (1, encoder.positions)
    shapes = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert shapes["encoder.down.3.attn.1.q.weight"] == (512, 512, 1, 1)
    assert shapes["quantize.proj.weight"] == (8192, 256, 1, 1)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.train().get_submodule("encoder").training


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(ImportFailed, match="This is no Gumbel VQGAN"):
        import_vqgan(path)
