"""Readers of word vectors, on files written here in the documented formats."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from inference.tokenizers.vectors import read_navec, read_text_vectors


def write_navec(path: Path, words: list[str], parts: int = 3, each: int = 2) -> np.ndarray:
    """A navec archive of random vectors; what they are."""
    draw = np.random.default_rng(0)
    indexes = draw.integers(0, 5, (len(words), parts))
    codes = draw.normal(size=(parts, 5, each)).astype(np.float32)
    vocabulary = struct.pack("<I", len(words)) + struct.pack(f"<{len(words)}I", *range(len(words)))
    quantised = struct.pack("<4I", len(words), parts * each, parts, 5)
    files = {
        "meta.json": json.dumps({"id": "test", "protocol": 1}).encode(),
        "vocab.bin": gzip.compress(vocabulary + "\n".join(words).encode()),
        "pq.bin": quantised + bytes(indexes.flatten().tolist()) + codes.tobytes(),
    }
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return np.stack([np.concatenate([codes[p, row[p]] for p in range(parts)]) for row in indexes])


def test_navec_is_read_word_by_word(tmp_path: Path) -> None:
    path = tmp_path / "navec.tar"
    known = ["кот", "собака", "мем", "<unk>", "<pad>"]
    expected = write_navec(path, known)
    vectors = read_navec(path, ["<pad>", "мем", "ёж", "кот"])
    np.testing.assert_allclose(vectors.matrix, expected[[4, 2, 3, 0]])
    assert vectors.matrix.dtype == np.float32
    assert vectors.found == 3


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "navec.tar"
    with pytest.raises(FileNotFoundError, match=r"navec\.tar are missing"):
        read_navec(path, ["кот"])
    path.write_bytes(b"not a tar")
    with pytest.raises(ValueError, match="is no navec archive"):
        read_navec(path, ["кот"])
    write_navec(path, ["кот"])  # no <unk>
    with pytest.raises(ValueError, match="is no navec archive"):
        read_navec(path, ["кот"])
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match="is no navec archive"):
        read_navec(path, ["кот"])


LINES = ["the 0.5 1 -2", "cat 3 4 5", ". . . 7 8 9", "dog -1 -1 -1", "cat 0 0 0"]


@pytest.mark.parametrize("header", [[], ["5 3"]], ids=["GloVe", "fastText"])
@pytest.mark.parametrize("zipped", [False, True])
def test_text_vectors_are_read(header: list[str], zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("vectors.txt.gz" if zipped else "vectors.txt")
    content = "\n".join([*header, *LINES]).encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    words = ["<pad>", "dog", "cat", ". . .", "hedgehog"]
    vectors = read_text_vectors(path, words)
    assert vectors.found == 3
    assert vectors.matrix.shape == (5, 3)
    assert vectors.matrix[:4].tolist() == [[0, 0, 0], [-1, -1, -1], [3, 4, 5], [7, 8, 9]]
    assert vectors.matrix[4].any()
    assert np.array_equal(vectors.matrix, read_text_vectors(path, words).matrix)


def test_files_without_vectors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    with pytest.raises(FileNotFoundError, match=r"vectors\.txt are missing"):
        read_text_vectors(path, ["cat"])
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_text_vectors(path, ["cat"])
    path.write_text("cat a b c\n")
    with pytest.raises(ValueError, match="a line must be a word and numbers"):
        read_text_vectors(path, ["cat"])
