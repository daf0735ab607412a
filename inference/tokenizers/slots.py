"""The tokenizer of captioners that quote: words, and slots for the lines read on the picture.

A caption is a sequence of word ids, between ``<quote>`` and ``</quote>`` also of slots: id
``len(vocabulary) + i``
means "line i of this picture". The decoder learns where quoted words go; the words themselves are copied,
never
generated, so a quotation can hold nothing that was not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inference.reading.lines import TextLine
from inference.russian.sentences import Piece, Quotation, spaced, write

PAD, BOS, EOS, UNK, OPEN, CLOSE, UNREAD = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<unk>",
    "<quote>",
    "</quote>",
    "<unread>",
)
SPECIAL = (PAD, BOS, EOS, UNK, OPEN, CLOSE, UNREAD)

_TOKEN = re.compile(r"[^\W_]+(?:[-’'@.][^\W_]+)*|\.{2,}|[^\w\s]", re.UNICODE)
_SPACED_MARK = re.compile(r"\s+([.,])")  # as a reader finds them in print
_LEVEL = "<detail-"


def split_words(text: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return _TOKEN.findall(text.lower())


@dataclass(frozen=True)
class SlotTokenizer:
    """``words``: id -> token, :data:`SPECIAL` first. ``casing``: token -> as people write it (names).

    ``levels`` tokens ``<detail-0>``.. stand right after :data:`SPECIAL` in ``words``: what the decoder is
    started with
    says how much beyond the quotes it should tell.
    """

    words: tuple[str, ...]
    casing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.words[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"A slot vocabulary starts with {', '.join(SPECIAL)}.")
        object.__setattr__(self, "ids", {word: i for i, word in enumerate(self.words)})

    ids: Mapping[str, int] = field(init=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.words)

    def id(self, token: str) -> int:
        return self.ids.get(token, self.ids[UNK])

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Ids of the start tokens, least detail first."""
        return tuple(i for i, word in enumerate(self.words) if word.startswith(_LEVEL))

    def encode_words(self, text: str) -> list[int]:
        return [self.id(token) for token in split_words(text)]

    def decode(self, tokens: Iterable[int], lines: Sequence[TextLine]) -> str:
        """The caption as a person writes it: capitals, spaces, closed quotation marks, a full stop at
        the end.
        """
        return write(self.pieces(tokens, lines))

    def pieces(self, tokens: Iterable[int], lines: Sequence[TextLine]) -> list[Piece]:
        """The words and marks of a caption, and its quotations whole; a last one may not be closed."""
        found: list[Piece] = []
        quoted: list[str] | None = None
        for token in tokens:
            slot = token - len(self.words)
            word = "" if slot >= 0 else self.words[token]
            if word in (OPEN, CLOSE):
                found += _quotation(quoted)
                quoted = [] if word == OPEN else None
            elif word not in SPECIAL and not word.startswith(_LEVEL):
                said = self.casing.get(word, word) if word else lines[slot].quote
                (found if quoted is None else quoted).append(said)
        return found + _quotation(quoted)

    def render(self) -> str:
        """The text of its file."""
        stored = {"words": self.words, "casing": self.casing}
        return json.dumps(stored, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def load(cls, path: Path) -> SlotTokenizer:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["words"]), stored["casing"])


def _quotation(words: Sequence[str] | None) -> list[Piece]:
    """What was said between two marks; None: nothing was opened."""
    return [] if words is None else [Quotation(_SPACED_MARK.sub(r"\1", spaced(words)))]
