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
from pathlib import Path

from inference.reading.lines import TextLine

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
_ENDS = frozenset(".!?…")
_NO_SPACE_BEFORE = frozenset(".,:;!?)…%»")
_NO_SPACE_AFTER = frozenset("(«@#")


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

    @property
    def levels(self) -> tuple[int, ...]:
        """Ids of the start tokens, least detail first."""
        return tuple(i for i, word in enumerate(self.words) if word.startswith("<detail-"))

    def encode_words(self, text: str) -> list[int]:
        return [self.id(token) for token in split_words(text)]

    def decode(self, tokens: Iterable[int], lines: Sequence[TextLine]) -> str:
        """The caption as a person writes it: capitals, spaces, closed quotation marks, a full stop at
        the end.
        """
        pieces: list[str] = []
        starts, quoted = True, False
        for token in tokens:
            if token >= len(self.words):
                # What was read keeps its own capitals.
                read = lines[token - len(self.words)].quote
                pieces.append(read)
                starts = starts and not read
                continue
            word = self.words[token]
            if word in (OPEN, CLOSE):
                quoted = word == OPEN
                pieces.append(word)
                continue
            if word in SPECIAL or word.startswith("<detail-"):
                continue
            written = self.casing.get(word, word)
            pieces.append(written[:1].upper() + written[1:] if starts and word[:1].isalpha() else written)
            starts = (word[-1] in _ENDS) if not word[:1].isalpha() else False
        if quoted:
            pieces.append(CLOSE)
        return _finish(_join(pieces))

    def render(self) -> str:
        """The text of its file."""
        stored = {"words": self.words, "casing": self.casing}
        return json.dumps(stored, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def load(cls, path: Path) -> SlotTokenizer:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["words"]), stored["casing"])


def _join(pieces: Sequence[str]) -> str:
    text, glue = "", True
    for piece in pieces:
        if piece == OPEN:
            text += '"' if glue else ' "'
            glue = True
        elif piece == CLOSE:
            text = text.rstrip() + '"'
            glue = False
        elif piece:
            text += piece if glue or piece[0] in _NO_SPACE_BEFORE else f" {piece}"
            glue = piece in _NO_SPACE_AFTER
    return text


def _finish(text: str) -> str:
    text = re.sub(r'\s*""', "", text).strip(" ,;:-—")
    text = re.sub(r"\s+([.,])", r"\1", text)
    # In Russian the full stop stands behind the closing mark, and once.
    text = re.sub(r'(?<!\.)\.("(?:\.|$))', r"\1", text)
    if not text:
        return ""
    return text if text[-1] in ".!?…" else f"{text}."
