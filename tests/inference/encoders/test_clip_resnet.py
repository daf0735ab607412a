"""CLIP's ResNet against its formulas, on random weights under the names of OpenAI's files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision import transforms

from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.encoders.base import build_encoder
from inference.encoders.preprocessing import CLIP_MEAN, CLIP_STD
from inference.importers.clip_resnet import import_clip_resnet, is_clip_resnet

State = dict[str, Tensor]
LAYERS, WIDTH, OUT, SIDE = (2, 1, 1, 1), 8, 20, 96


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / math.sqrt(max(shape[-1], 4))


def original_state() -> State:
    """What ``ModifiedResNet`` saves, and a text tower's tensor besides."""
    state: State = {"text_projection": torch.zeros(3, 3), "input_resolution": torch.tensor(SIDE)}

    def convolution(name: str, out: int, entry: int, size: int) -> None:
        state[f"visual.{name}.weight"] = draw(out, entry, size, size, seed=len(state))

    def norm(name: str, width: int) -> None:
        for i, part in enumerate(("weight", "bias", "running_mean", "running_var")):
            value = draw(width, seed=len(state)) * 0.3
            state[f"visual.{name}.{part}"] = value.exp() if i in {0, 3} else value
        state[f"visual.{name}.num_batches_tracked"] = torch.tensor(5)

    for i, (out, entry) in enumerate(((WIDTH // 2, 3), (WIDTH // 2, WIDTH // 2), (WIDTH, WIDTH // 2)), 1):
        convolution(f"conv{i}", out, entry, 3)
        norm(f"bn{i}", out)
    entry = WIDTH
    for number, blocks in enumerate(LAYERS, 1):
        inner = WIDTH * 2 ** (number - 1)
        for block in range(blocks):
            name = f"layer{number}.{block}"
            for i, (out, before, size) in enumerate(
                ((inner, entry, 1), (inner, inner, 3), (inner * 4, inner, 1)), 1
            ):
                convolution(f"{name}.conv{i}", out, before, size)
                norm(f"{name}.bn{i}", out)
            if block == 0:
                convolution(f"{name}.downsample.0", inner * 4, entry, 1)
                norm(f"{name}.downsample.1", inner * 4)
            entry = inner * 4
    state["visual.attnpool.positional_embedding"] = draw((SIDE // 32) ** 2 + 1, entry, seed=1)
    for i, (name, out) in enumerate((("k", entry), ("q", entry), ("v", entry), ("c", OUT))):
        state[f"visual.attnpool.{name}_proj.weight"] = draw(out, entry, seed=50 + i)
        state[f"visual.attnpool.{name}_proj.bias"] = draw(out, seed=60 + i)
    return state


def original_forward(state: State, x: Tensor) -> Tensor:
    """OpenAI's forward, its attention by torch's own function as there."""

    def step(x: Tensor, name: str, number: str, *, stride: int = 1, relu: bool = True) -> Tensor:
        own = {"0": "1"}.get(number, f"bn{number}")
        kernel = state[f"visual.{name}{'' if number == '0' else 'conv'}{number}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, variance, weight, bias = (
            state[f"visual.{name}{own}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(x, mean, variance, weight, bias)
        return functional.relu(x) if relu else x

    x = step(x, "", "1", stride=2)
    x = functional.avg_pool2d(step(step(x, "", "2"), "", "3"), 2)
    for number, blocks in enumerate(LAYERS, 1):
        for block in range(blocks):
            name, stride = f"layer{number}.{block}.", 2 if number > 1 and block == 0 else 1
            y = step(step(x, name, "1"), name, "2")
            y = step(functional.avg_pool2d(y, stride), name, "3", relu=False)
            if block == 0:
                x = step(functional.avg_pool2d(x, stride), f"{name}downsample.", "0", relu=False)
            x = functional.relu(x + y)
    x = x.flatten(2).permute(2, 0, 1)
    x = torch.cat([x.mean(0, keepdim=True), x]) + state["visual.attnpool.positional_embedding"][:, None]
    weights = {name: state[f"visual.attnpool.{name}_proj.weight"] for name in "qkvc"}
    bias = torch.cat([state[f"visual.attnpool.{name}_proj.bias"] for name in "qkv"])
    pooled, _ = functional.multi_head_attention_forward(
        query=x[:1],
        key=x,
        value=x,
        embed_dim_to_check=x.shape[-1],
        num_heads=x.shape[-1] // 64,
        q_proj_weight=weights["q"],
        k_proj_weight=weights["k"],
        v_proj_weight=weights["v"],
        in_proj_weight=None,
        in_proj_bias=bias,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=weights["c"],
        out_proj_bias=state["visual.attnpool.c_proj.bias"],
        use_separate_proj_weight=True,
        training=False,
        need_weights=False,
    )
    return pooled[0]


@pytest.mark.parametrize("normalise", [False, True])
@torch.no_grad()
def test_the_tower_is_openais(normalise: bool, tmp_path: Path) -> None:
    state = original_state()
    torch.save(
        {key: v.half() if v.is_floating_point() else v for key, v in state.items()}, tmp_path / "rn.pt"
    )
    state = read_state(tmp_path / "rn.pt")
    assert is_clip_resnet(state)
    encoder = import_clip_resnet(state, normalise=normalise)
    again = build_encoder(encoder.settings).eval()
    again.load_state_dict(encoder.state_dict())
    pixels = torch.randn(2, 3, SIDE, SIDE)
    expected = original_forward(state, pixels)
    expected = functional.normalize(expected, dim=-1) if normalise else expected
    torch.testing.assert_close(again(pixels), expected, atol=1e-5, rtol=1e-5)


def test_a_picture_becomes_what_openais_becomes() -> None:
    encoder = import_clip_resnet(original_state(), normalise=True)
    image = Image.effect_noise((150, 110), 90).convert("RGB")
    theirs = transforms.Compose(
        [
            transforms.Resize(SIDE, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )(image)
    torch.testing.assert_close(encoder.pixels([image])[0], theirs, atol=1e-5, rtol=0)


def test_full_size_is_rn50x4s() -> None:
    with torch.device("meta"):
        full = build_encoder({"kind": "clip_resnet"})
    shapes = {name: tuple(value.shape) for name, value in full.state_dict().items()}
    assert shapes["visual.attnpool.positional_embedding"] == (82, 2560)
    assert shapes["visual.attnpool.c_proj.weight"] == (640, 2560)
    assert shapes["visual.layer3.9.conv3.weight"] == (1280, 320, 1, 1)
    assert (full.widths, full.preprocessing.size) == ((640,), 288)


def test_another_model_is_refused() -> None:
    state = original_state()
    del state["visual.layer1.0.conv2.weight"]
    with pytest.raises(ImportFailed, match=r"visual\.layer1\.0\.conv2\.weight is missing"):
        import_clip_resnet(state, normalise=False)
