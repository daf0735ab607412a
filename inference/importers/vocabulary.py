"""Word vocabularies as people saved them: JSON, a word a line, or a pickle, which is read and never run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.checkpoints.weight_files.pickles import DamagedPickle, Record, UnsafePickle, read_file
from inference.checkpoints.weight_files.state import ImportFailed
from inference.tokenizers.words import WordTokenizer, in_order

# What classes of vocabularies call the words in the order of their numbers, or the table of both.
_ATTRIBUTES = (
    "idx2word",
    "index2word",
    "id2word",
    "id_to_word",
    "itos",
    "itos_",
    "word2idx",
    "word2index",
    "word2id",
    "word_to_id",
    "stoi",
    "stoi_",
    "words",
    "vocab",
)


def read_vocabulary(path: Path) -> WordTokenizer:
    """``.json`` (a list, or a table one way or the other), ``.txt`` (a word a line), ``.pkl`` (a list, a
    table, or an object that has one of them under a usual name).

    Raises FileNotFoundError when it is missing, ImportFailed when it is no vocabulary or an unsafe pickle.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"The vocabulary {path} is missing: name the file that was saved with the captioner."
        )
    suffix = path.suffix.lower()
    try:
        if suffix in {".pkl", ".pickle", ".p"}:
            words = _words(read_file(path))
        elif suffix == ".txt":
            words = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        else:
            words = in_order(json.loads(path.read_text(encoding="utf-8")))
    except UnsafePickle as error:
        raise ImportFailed(
            f"{path} is refused, because it {error}: pickled code would run when it is opened, so ask its "
            "author for the words as JSON."
        ) from error
    except (DamagedPickle, OSError) as error:
        raise ImportFailed(f"{path} is damaged or no vocabulary: fetch it again.") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ImportFailed(
            f"{path} is no vocabulary: it must hold the words in the order of their numbers, or map the one "
            "to the other."
        ) from error
    try:
        return WordTokenizer(words)
    except ValueError as error:
        raise ImportFailed(f"{path}: {error}") from error


def fitting_vocabulary(vocabulary_path: Path, weights_path: Path, size: int) -> WordTokenizer:
    """The words of a captioner that was trained with ``size`` of them. Raises as :func:`read_vocabulary`, and
    ImportFailed when there are more or less."""
    words = read_vocabulary(vocabulary_path)
    if len(words) != size:
        raise ImportFailed(
            f"{vocabulary_path} has {len(words)} words, {weights_path} was trained with {size}: they are not "
            "of the same captioner, so find the vocabulary that was saved with it."
        )
    return words


def _words(found: Any) -> list[str]:
    if isinstance(found, Record):
        if found.items or found.members:
            return _words(found.items or found.members)
        for name in _ATTRIBUTES:
            if isinstance(found.state.get(name), (Mapping, list, tuple, Record)):
                return _words(found.state[name])
        raise KeyError(str(found.kind))
    if isinstance(found, tuple):
        found = list(found)
    if not isinstance(found, (list, Mapping)) or not found:
        raise TypeError("no list and no table")
    return in_order(found)
