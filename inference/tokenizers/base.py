"""What every tokenizer offers, and how one is kept in a folder beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Tokenizer(Protocol):
    """``encode`` adds neither start nor end token; ``decode`` leaves out all that is no text."""

    kind: str
    pad: int
    bos: int
    eos: int

    def __len__(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ids."""

    def save(self, folder: Path) -> None:
        """Writes what :func:`load_tokenizer` reads."""


def slots_of(tokenizer: Tokenizer) -> list[int]:
    """The ids of the words that stand for lines read, where the vocabulary has such."""
    slots: list[int] = getattr(tokenizer, "slots", [])
    return slots


def marks_of(tokenizer: Tokenizer) -> tuple[int, int] | None:
    """The ids of the marks around a quotation, where the vocabulary has both."""
    marks: tuple[int, int] | None = getattr(tokenizer, "marks", None)
    return marks


def other_marks_of(tokenizer: Tokenizer) -> list[int]:
    """The ids of what a model that quotes lines between :func:`marks_of` never says: nothing else is to look
    like a quotation."""
    others: list[int] = getattr(tokenizer, "other_marks", [])
    return others


def rest_marks_of(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids of the marks after which a sentence goes on (a comma), and of those at which it may end; none
    where marks are parts of tokens."""
    return getattr(tokenizer, "goes_on", ()), getattr(tokenizer, "ends", ())


def load_tokenizer(kind: str, folder: Path) -> Tokenizer:
    """The tokenizer that was saved in ``folder``.

    Raises ValueError for an unknown kind, FileNotFoundError when a file is missing.
    """
    if kind == "words":
        from inference.tokenizers.words import WordTokenizer  # noqa: PLC0415 - nltk only where words are cut

        return WordTokenizer.load(folder)
    if kind == "youtokentome":
        from inference.tokenizers.youtokentome import YouTokenToMe  # noqa: PLC0415

        return YouTokenToMe.load(folder)
    if kind == "gpt2":
        from inference.tokenizers.gpt2 import Gpt2Tokenizer  # noqa: PLC0415 - tokenizers only where needed

        return Gpt2Tokenizer.load(folder)
    raise ValueError(f"Unknown tokenizer {kind!r}: choose words, youtokentome or gpt2.")
