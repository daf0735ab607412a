"""Vectors of words that others trained: navec, GloVe, fastText.

Shapes: V words of a vocabulary, E numbers each.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from inference.tokenizers.words_read import SLOT


@dataclass(frozen=True, slots=True)
class WordVectors:
    """One row a word of the vocabulary it was read for."""

    matrix: npt.NDArray[np.float32]  # (V, E)
    found: int  # how many of the V words the file has


def read_vectors(path: Path, words: Sequence[str]) -> WordVectors:
    """From a navec archive (``.tar``), else from a text file of GloVe or fastText.

    A slot, ``<line0>`` and so on, is no word of any language: it gets random numbers of the same mean and
    spread, so that even a decoder with frozen vectors can tell one from the other.

    Raises FileNotFoundError when it is missing, ValueError when it is neither.
    """
    read = read_navec if path.suffix == ".tar" else read_text_vectors
    vectors = read(path, words)
    slots = [row for row, word in enumerate(words) if SLOT.fullmatch(word)]
    random = np.random.default_rng(0)
    mean, spread = vectors.matrix.mean(), vectors.matrix.std()
    vectors.matrix[slots] = random.normal(mean, spread, (len(slots), vectors.matrix.shape[1]))
    return vectors


def read_navec(path: Path, words: Sequence[str]) -> WordVectors:
    """From a navec tar (Kukushkin 2020): a word it lacks gets the vector of its <unk>.

    The vectors are product-quantised: E is cut into parts, and a word keeps for each the number of one of
    256 common ones. ``vocab.bin`` (gzip): count, uint32; a count a word, uint32; the words, one a line.
    ``pq.bin``: words, E, parts, common ones, uint32; a byte a word and part; the common parts, float32.

    Raises FileNotFoundError when it is missing, ValueError when it is no navec.
    """
    _must_exist(path)
    try:
        with tarfile.open(path) as archive:
            names = gzip.decompress(_member(archive, "vocab.bin").read())
            quantised = _member(archive, "pq.bin").read()
        size = int(np.frombuffer(names, np.uint32, 1)[0])
        known = {word: i for i, word in enumerate(names[4 + 4 * size :].decode().splitlines())}
        count, width, parts, common = (int(value) for value in np.frombuffer(quantised, np.uint32, 4))
        indexes = np.frombuffer(quantised, np.uint8, count * parts, 16).reshape(count, parts)
        codes = np.frombuffer(quantised, np.float32, offset=16 + count * parts).reshape(parts, common, -1)
        unknown = known["<unk>"]
    except (OSError, tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no navec archive: fetch it again.") from error
    rows = indexes[[known.get(word, unknown) for word in words]]  # (V, parts)
    matrix = codes[np.arange(parts), rows].reshape(len(words), width)
    return WordVectors(matrix, sum(word in known for word in words))


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


def read_text_vectors(path: Path, words: Sequence[str], *, seed: int = 0) -> WordVectors:
    """From GloVe's or fastText's text format, gzipped or not.

    A line is a word and its numbers; fastText's first line is ``count width``. A word the file lacks gets
    random numbers of the same mean and spread as the vectors found, a word written ``<like this>`` zeros.

    Raises FileNotFoundError when it is missing, ValueError when it is no such file.
    """
    _must_exist(path)
    wanted = {word: row for row, word in enumerate(words)}
    rows: dict[int, npt.NDArray[np.float32]] = {}
    width = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            parts = line.decode().rstrip().split(" ")
            if len(parts) == 2 and not width:
                continue
            # A few words of GloVe hold spaces: the numbers are what stands at the end.
            width = width or len(parts) - 1
            row = wanted.get(" ".join(parts[:-width]))
            if row is None or row in rows:
                continue
            try:
                rows[row] = np.array(parts[-width:], dtype=np.float32)
            except ValueError as error:
                raise ValueError(
                    f"{path} holds no word vectors: a line must be a word and numbers."
                ) from error
    if not width:
        raise ValueError(f"{path} holds no word vectors: it is empty.")
    random = np.random.default_rng(seed)
    known = np.stack(list(rows.values())) if rows else np.zeros((1, width), np.float32)
    matrix = random.normal(known.mean(), known.std(), (len(words), width)).astype(np.float32)
    for row, word in enumerate(words):
        if row in rows:
            matrix[row] = rows[row]
        elif word.startswith("<") and word.endswith(">"):
            matrix[row] = 0
    return WordVectors(matrix, len(rows))


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"The word vectors {path} are missing: fetch them, or train without.")
