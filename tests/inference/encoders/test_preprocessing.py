"""Preprocessing against torchvision's transforms, and on where the words of a meme end up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from inference.encoders.preprocessing import CLIP_MEAN, CLIP_STD, Fit, Preprocessing
from inference.encoders.ruclip import ruclip_preprocessing


def picture(width: int, height: int) -> Image.Image:
    """Every pixel differs from its neighbours, and the left half from the right."""
    y, x = np.mgrid[:height, :width]
    channels = [(x * 255) // max(1, width - 1), (y * 255) // max(1, height - 1), (x * 7 + y * 13) % 256]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8), "RGB")


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (64, 64), (97, 255)])
def test_crop_is_torchvisions_resize_and_centre_crop(size: tuple[int, int]) -> None:
    image = picture(*size)
    ours = Preprocessing(56, "crop", resize=64)([image])
    theirs = transforms.Compose(
        [
            transforms.Resize(64),
            transforms.CenterCrop(56),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )(image)
    np.testing.assert_allclose(ours[0], theirs.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", ["bilinear", "bicubic"])
def test_squash_is_torchvisions_resize_to_a_square(scale: Literal["bilinear", "bicubic"]) -> None:
    image = picture(301, 97)
    ours = Preprocessing(64, "squash", mean=CLIP_MEAN, std=CLIP_STD, filter=scale)([image])
    theirs = transforms.Compose(
        [
            transforms.Resize((64, 64), transforms.InterpolationMode(scale)),
            transforms.ToTensor(),
            transforms.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )(image)
    np.testing.assert_allclose(ours[0], theirs.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (64, 64), (97, 255)])
@pytest.mark.parametrize("meme_project", [False, True])
def test_ruclips_own_processor_crops_and_the_meme_project_squashes_before_it(
    meme_project: bool, size: tuple[int, int]
) -> None:
    image = picture(*size)
    squashed = [transforms.Resize((56, 56))] if meme_project else []
    theirs = transforms.Compose(
        [
            *squashed,
            transforms.RandomResizedCrop(96, scale=(1.0, 1.0), ratio=(1.0, 1.0)),
            transforms.ToTensor(),
            transforms.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )(image)
    if meme_project:
        ours = Preprocessing(96, "squash", via=56, mean=CLIP_MEAN, std=CLIP_STD)
    else:
        ours = ruclip_preprocessing(96)
    np.testing.assert_allclose(ours([image])[0], theirs.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [(400, 100), (100, 400), (128, 128)])
def test_no_edge_is_lost_and_nothing_is_mirrored(fit: Fit, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "black")
    width, height = size
    edge = width // 8, height // 8
    image.paste((255, 0, 0), (0, 0, edge[0], height))
    image.paste((0, 255, 0), (width - edge[0], 0, width, height))
    image.paste((0, 0, 255), (edge[0], height - edge[1], width - edge[0], height))
    seen = np.asarray(Preprocessing(64, fit).fitted(image)).astype(int)
    columns = np.arange(64)
    strongest = {
        channel: np.average(columns, weights=np.clip(seen[..., channel] - 200, 0, None).sum(0))
        for channel in (0, 1)
    }
    assert strongest[0] < 32 < strongest[1]
    assert np.flatnonzero(seen[..., 2].max(1) > 200)[0] > 32


def test_letterbox_keeps_proportions_and_fills_with_the_mean() -> None:
    seen = Preprocessing(80, "letterbox")([Image.new("RGB", (400, 100), "white")])
    rows = (seen[0].max((0, 2)) > 1).nonzero()[0]
    assert len(rows) == 20
    assert rows.tolist() == list(range(30, 50))
    assert np.abs(seen[0, :, :29]).max() < 0.02  # mean colour: 0 after normalisation


def test_the_same_picture_gives_the_same_pixels_alone_and_in_a_batch() -> None:
    images = [picture(90, 50), picture(40, 80).convert("L"), picture(60, 60).convert("RGBA")]
    preprocess = Preprocessing(32)
    together = preprocess(images)
    assert together.shape == (3, 3, 32, 32)
    assert together.dtype == np.float32
    for i, image in enumerate(images):
        np.testing.assert_array_equal(preprocess([image])[0], together[i])
    assert preprocess([]).shape == (0, 3, 32, 32)


def test_it_survives_a_config_file() -> None:
    preprocess = Preprocessing(56, "crop", resize=64, mean=CLIP_MEAN, std=CLIP_STD, filter="bicubic")
    assert Preprocessing.from_dict(preprocess.to_dict()) == preprocess
    with pytest.raises(ValueError, match="Unknown preprocessing setting: mirror"):
        Preprocessing.from_dict({"mirror": True})


@pytest.mark.parametrize(
    "bad",
    [
        {"fit": "mirror"},
        {"size": 0},
        {"via": -1},
        {"size": 64, "resize": 32},
        {"std": (0, 1, 1)},
        {"filter": "x"},
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fitted|size|above 0|filter"):
        Preprocessing(**bad)
