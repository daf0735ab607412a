"""Near pairs against a comparison of all pairs; who leaves and who stays."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.drawing import draw_meme, jpeg_bytes, png_bytes
from train_scripts.data.duplicates import THRESHOLD, find_duplicates, near_pairs
from train_scripts.data.pictures import look
from train_scripts.pictures import UnreadablePicturesError, open_picture


def random_hashes(count: int, seed: int) -> list[str]:
    """Hashes of which some are near to others."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (count, 256), dtype=np.uint8)
    for i in range(count // 3, count):  # a copy of an earlier one with a few bits turned
        bits[i] = bits[rng.integers(0, count // 3)]
        turned = rng.choice(256, rng.integers(0, 30), replace=False)
        bits[i, turned] ^= 1
    return list(dict.fromkeys(np.packbits(one).tobytes().hex() for one in bits))


@pytest.mark.parametrize("threshold", [0, 1, 5, 12, 20])
def test_near_pairs_are_those_of_comparing_all(threshold: int) -> None:
    hashes = random_hashes(150, threshold)
    numbers = [int(one, 16) for one in hashes]
    expected = [
        [i, j, (numbers[i] ^ numbers[j]).bit_count()]
        for i in range(len(numbers))
        for j in range(i + 1, len(numbers))
        if (numbers[i] ^ numbers[j]).bit_count() <= threshold
    ]
    assert near_pairs(hashes, threshold).tolist() == expected
    assert threshold < 5 or expected
    assert near_pairs([], threshold).tolist() == []


def test_a_hundred_thousand_pictures_take_seconds() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (100_000, 32), dtype=np.uint8)
    data[50_000] = data[7]
    data[50_000, 3] ^= 0b101
    hashes = [row.tobytes().hex() for row in data]
    start = time.process_time()
    assert near_pairs(hashes, THRESHOLD).tolist() == [[7, 50_000, 2]]
    assert time.process_time() - start < 20  # all pairs would be five billion


def turned(key: str, bits: int) -> str:
    return f"{int(key, 16) ^ ((1 << bits) - 1):064x}"


def test_training_pictures_leave_and_held_out_ones_stay() -> None:
    key, other = "ab" * 32, "cd" * 32
    pictures = {
        "train/1": ("train", key),
        "train/2": ("train", turned(key, 3)),
        "val/1": ("val", turned(key, 5)),
        "test/1": ("test", key),
        "train/3": ("train", other),
        "train/4": ("train", turned(other, THRESHOLD)),
        "train/5": ("train", turned(other, THRESHOLD + 1)),
    }
    found = {one.picture: (one.of, one.distance, one.left_out) for one in find_duplicates(pictures)}
    assert found == {
        "train/1": ("test/1", 0, True),
        "train/2": ("val/1", 2, True),
        "val/1": ("test/1", 5, False),
        "train/4": ("train/3", THRESHOLD, True),
        # train/5 is one bit from train/4, which leaves: a chain of likenesses is no likeness.
    }


def test_pictures_held_out_elsewhere_are_not_trained_on_here() -> None:
    key = "ab" * 32
    pictures = {"a": ("train", turned(key, 2)), "b": ("val", key), "c": ("train", "cd" * 32)}
    found = [one.to_dict() for one in find_duplicates(pictures, against={"memes/1.jpg": key})]
    assert [(one["picture"], one["of"], one["of_split"], one["left_out"]) for one in found] == [
        ("b", "memes/1.jpg", "held out", False),
        ("a", "memes/1.jpg", "held out", True),
    ]


def test_copies_of_a_meme_are_near_and_other_words_on_it_are_not(tmp_path: Path) -> None:
    def distance(a: Image.Image | bytes, b: Image.Image | bytes) -> int:
        found = []
        for number, one in enumerate((a, b)):
            path = tmp_path / f"{number}.png"
            path.write_bytes(one if isinstance(one, bytes) else png_bytes(one))
            seen = look(path)
            assert seen.error is None
            found.append(int(seen.hash, 16))
        return (found[0] ^ found[1]).bit_count()

    meme = draw_meme("two_frames")
    assert distance(meme, jpeg_bytes(meme, quality=40)) <= THRESHOLD
    assert distance(meme, meme.resize((meme.width // 2, meme.height // 2))) <= THRESHOLD
    assert distance(meme, draw_meme("two_frames", "КОГДА ДЕДЛАЙН ВЧЕРА", "КОГДА ЗАВТРА")) > THRESHOLD


def test_a_damaged_picture_is_named_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg_bytes(draw_meme(width=200))[:300])
    error = look(path).error
    assert error is not None
    assert "damaged" in error
    assert "send" not in error  # which is for people who talk with the bot
    path.write_bytes(b"")
    assert look(path).error == "The file is empty."
    assert look(tmp_path / "none.jpg").error == "The file cannot be read (No such file or directory)."


def test_a_file_far_too_large_for_a_picture_is_refused_unread(tmp_path: Path) -> None:
    """A film among the pictures, larger than the memory."""
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # 1 TB, nothing of it on the disk
    assert look(path).error == "The file is larger than 50 MB."
    with pytest.raises(UnreadablePicturesError, match="larger than 50 MB"):
        open_picture(path)
