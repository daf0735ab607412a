"""The cache of a frozen encoder's features, and the pictures behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from inference.common.errors import UserError
from inference.encoders.base import Encoder, build_encoder
from tests.disk import files_of_at_most
from tests.inference.learning import calibrate, pictures
from train_scripts.pictures import UnreadablePicturesError
from train_scripts.training.augment import augment
from train_scripts.training.config import AugmentConfig
from train_scripts.training.features import FeatureCache
from train_scripts.training.seeing import GROUP, groups_of, pool_of

CPU = torch.device("cpu")


def encoder(yields: str = "global", seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    settings = {"kind": "resnet34", "yields": yields, "preprocessing": {"size": 64}}
    made = build_encoder(settings).eval()
    calibrate(made, made.pixels(pictures()))
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.png" for i in range(8)]
    for path, picture in zip(paths, pictures(), strict=True):
        picture.save(path)
    return paths


def fill(cache: FeatureCache, files: list[Path], seen_by: Encoder) -> None:
    with pool_of(2) as pool:
        cache.add(files, seen_by, CPU, pool, quiet=True)


def read(cache: FeatureCache, files: list[Path]) -> torch.Tensor:
    """What is kept of an encoder that yields one tensor."""
    kept = cache.read(files)
    assert isinstance(kept, torch.Tensor)
    return kept


@pytest.mark.parametrize("yields", ["global", "grid", "layers"])
def test_what_is_kept_is_what_the_encoder_yields(yields: str, files: list[Path], tmp_path: Path) -> None:
    seen_by = encoder(yields)
    cache = FeatureCache(tmp_path / "c", seen_by)
    fill(cache, [*files, files[0]], seen_by)
    read = cache.read([files[3], files[0], files[3]])
    with torch.no_grad():
        own = seen_by(seen_by.pixels([pictures()[3], pictures()[0], pictures()[3]]))
    for kept, expected in zip(
        read if isinstance(read, tuple) else (read,), own if isinstance(own, tuple) else (own,), strict=True
    ):
        assert kept.dtype == torch.float32
        torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-4)


class _Blind(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a picture that is known was seen again")


@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 17, 100, 129])
def test_no_worker_sees_more_than_its_share(count: int, workers: int) -> None:
    groups = groups_of(range(count), workers)
    assert [one for group in groups for one in group] == list(range(count))
    assert all(1 <= len(group) <= GROUP for group in groups)
    assert max(map(len, groups), default=0) - min(map(len, groups), default=0) <= 1
    # Taken in turn: at the end nobody has seen more than one picture a round more than another.
    rounds = -(-len(groups) // workers)
    seen = [sum(map(len, groups[worker::workers])) for worker in range(workers)]
    assert max(seen) - min(seen) <= rounds
    assert len(groups) == min(rounds * workers, count)


def test_a_later_run_sees_only_what_is_new(files: list[Path], tmp_path: Path) -> None:
    seen_by = encoder()
    fill(FeatureCache(tmp_path / "c", seen_by), files[:5], seen_by)
    size = (tmp_path / "c" / "features.bin").stat().st_size
    again = FeatureCache(tmp_path / "c", seen_by)
    stage = seen_by.get_submodule("backbone.layer4")
    seen_by.set_submodule("backbone.layer4", _Blind())
    fill(again, files[:5], seen_by)
    seen_by.set_submodule("backbone.layer4", stage)
    fill(again, files, seen_by)
    assert (tmp_path / "c" / "features.bin").stat().st_size == size // 5 * 8
    assert read(again, files).shape == (8, 512)


def test_a_write_that_was_cut_short_is_made_again(files: list[Path], tmp_path: Path) -> None:
    seen_by = encoder()
    cache = FeatureCache(tmp_path / "c", seen_by)
    fill(cache, files[:4], seen_by)
    expected = read(cache, files[:4]).clone()
    with (tmp_path / "c" / "features.bin").open("ab") as torn:
        torn.write(b"half a picture")
    (tmp_path / "c" / "index.bin").write_bytes((tmp_path / "c" / "index.bin").read_bytes()[:100])
    after = FeatureCache(tmp_path / "c", seen_by)
    fill(after, files[:4], seen_by)
    torch.testing.assert_close(after.read(files[:4]), expected)


@pytest.mark.parametrize("kept", [1, 3, 6])
def test_a_run_killed_while_it_looks_goes_on_to_the_same_bits(
    kept: int, files: list[Path], tmp_path: Path
) -> None:
    """What a picture yields depends, in its last bits, on those that go through the encoder with it."""
    seen_by = encoder()
    fill(FeatureCache(tmp_path / "c", seen_by), files, seen_by)
    features, index = tmp_path / "c" / "features.bin", tmp_path / "c" / "index.bin"
    whole = features.read_bytes()
    features.write_bytes(whole[: len(whole) // 8 * kept])
    index.write_bytes(index.read_bytes()[: 32 * kept])
    (tmp_path / "c" / "files.json").unlink()
    fill(FeatureCache(tmp_path / "c", seen_by), files, seen_by)
    assert features.read_bytes() == whole


def test_the_features_of_another_encoder_are_refused(files: list[Path], tmp_path: Path) -> None:
    seen_by = encoder()
    fill(FeatureCache(tmp_path / "c", seen_by), files[:1], seen_by)
    with pytest.raises(UserError, match="were made with the weights of another encoder: name another folder"):
        FeatureCache(tmp_path / "c", encoder(seed=1))
    other = build_encoder({**seen_by.settings, "preprocessing": {"size": 64, "fit": "letterbox"}})
    other.load_state_dict(seen_by.state_dict())
    with pytest.raises(UserError, match=r"another preprocessing \(fit 'squash' instead of 'letterbox'\)"):
        FeatureCache(tmp_path / "c", other)
    with pytest.raises(UserError, match="another number of bits"):
        FeatureCache(tmp_path / "c", seen_by, half=True)
    about = json.loads((tmp_path / "c" / "cache.json").read_text(encoding="utf-8"))
    (tmp_path / "c" / "cache.json").write_text(json.dumps(about | {"opening": 1}), encoding="utf-8")
    with pytest.raises(UserError, match="opened in another way"):
        FeatureCache(tmp_path / "c", seen_by)
    (tmp_path / "c" / "cache.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged: delete the folder"):
        FeatureCache(tmp_path / "c", seen_by)


def test_pictures_that_cannot_be_read_are_all_named_and_the_others_kept(
    files: list[Path], tmp_path: Path
) -> None:
    seen_by = encoder()
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no picture", encoding="utf-8")
    cut.write_bytes(files[0].read_bytes()[:200])
    cache = FeatureCache(tmp_path / "c", seen_by)
    with pytest.raises(UnreadablePicturesError) as caught:
        fill(cache, [files[0], text, files[1], cut], seen_by)
    assert str(caught.value).startswith("2 pictures cannot be read (")
    assert f"{text}: This is not a picture" in str(caught.value)
    assert f"{cut}: The picture is damaged" in str(caught.value)
    assert (tmp_path / "c" / "features.bin").stat().st_size == 2 * 512 * 4


def test_a_full_disk_keeps_what_was_seen(files: list[Path], tmp_path: Path) -> None:
    seen_by = encoder()
    cache = FeatureCache(tmp_path / "c", seen_by)
    with files_of_at_most(3 * 512 * 4 + 100), pytest.raises(UserError, match="make room there"):
        fill(cache, files, seen_by)
    fill(cache, files, seen_by)
    with torch.no_grad():
        own = seen_by(seen_by.pixels(pictures()))
    torch.testing.assert_close(cache.read(files), own, rtol=1e-4, atol=1e-4)


def test_augmentation_never_mirrors_turns_or_cuts() -> None:
    image = Image.new("RGB", (300, 200), "grey")
    pen = ImageDraw.Draw(image)
    corners = {(4, 4): "red", (280, 4): "lime", (4, 180): "blue", (280, 180): "yellow"}
    for (x, y), colour in corners.items():
        pen.rectangle((x, y, x + 15, y + 15), fill=colour)
    config = AugmentConfig(probability=1.0, brightness=0.1, contrast=0.1, colour=0.1)
    changed = set()
    for seed in range(12):
        seen = augment(image, config, str(seed), size=150)
        assert seen.size == image.size
        assert seen.tobytes() == augment(image, config, str(seed), size=150).tobytes()
        changed.add(seen.tobytes())
        pixels = np.asarray(seen, dtype=np.float32)
        for (x, y), colour in corners.items():
            # The mark is still in its own quarter of the picture, in its own colour.
            across = slice(0, 150) if x < 150 else slice(150, 300)
            down = slice(0, 100) if y < 100 else slice(100, 200)
            wanted = np.array(Image.new("RGB", (1, 1), colour).getpixel((0, 0)), dtype=np.float32)
            distance = np.abs(pixels[down, across] - wanted).sum(2)
            assert (distance < 200).sum() > 60, (seed, colour)
    assert len(changed) == 12
    off = AugmentConfig(probability=0.0)
    assert augment(image, off, "0", size=150).tobytes() == image.tobytes()
