"""youtokentome's byte-pair encoding, read without its package, which no longer installs.

The model file is text: ``n m``; n lines ``codepoint id``; m lines ``x y z`` (the pair x, y merges into z, the
first line being the first choice); last ``unk pad bos eos``, -1 where there is none.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

SPACE = "▁"
FILE = "bpe.model"
# What C's isspace knows below 256, and the space sign itself.
_SPACES = re.compile(f"[ \t\n\v\f\r{SPACE}]+")
_UNKNOWN = -2  # no id of a file


class YouTokenToMe:
    """Encodes and decodes as youtokentome.BPE does, without dropout.

    ``lower``: texts are lower-cased first, as ruCLIP and RuDOLPH were trained.

    Raises FileNotFoundError when the file is missing, ValueError when it is no such model.
    """

    kind = "youtokentome"

    def __init__(self, path: Path, *, lower: bool = True) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"The tokenizer {path} is missing: put the model's {FILE} there.")
        self.path = path
        self.lower = lower
        try:
            numbers = [int(number) for number in path.read_text(encoding="ascii").split()]
            chars, rules = numbers[:2]
            at = 2 + 2 * chars
            end = at + 3 * rules
            pairs = list(zip(numbers[2:at:2], numbers[3:at:2], strict=True))
            triples = list(zip(*(numbers[at + i : end : 3] for i in range(3)), strict=True))
            self.unk, self.pad, self.bos, self.eos = numbers[end:]
            self.ids = {chr(codepoint): token for codepoint, token in pairs}
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path} is no youtokentome model: fetch it again.") from error
        if SPACE not in self.ids:
            raise ValueError(f"{path} is no youtokentome model: it lacks the space sign.")
        self.merges = {(x, y): (rank, z) for rank, (x, y, z) in enumerate(triples)}
        self.pieces = {token: char for char, token in self.ids.items()}
        for x, y, z in triples:
            self.pieces[z] = self.pieces[x] + self.pieces[y]
        self._specials = {self.unk: "<UNK>", self.pad: "<PAD>", self.bos: "<BOS>", self.eos: "<EOS>"}
        self._specials.pop(-1, None)
        self._word = lru_cache(maxsize=20_000)(self._encode_word)

    def __len__(self) -> int:
        return len(self.pieces) + len(self._specials)

    def encode(self, text: str) -> list[int]:
        """Ids without start and end."""
        text = text.lower() if self.lower else text
        words = [word for word in _SPACES.split(text) if word]
        return [token for word in words for token in self._word(word)]

    def _encode_word(self, word: str) -> tuple[int, ...]:
        tokens = [self.ids[SPACE]]
        for char in word:
            token = self.ids.get(char, _UNKNOWN)
            if token != _UNKNOWN or tokens[-1] != _UNKNOWN:  # a run of unknown characters is one token
                tokens.append(token)
        while len(tokens) > 1:
            ranks = [self.merges.get(pair, (len(self.merges), 0))[0] for pair in itertools.pairwise(tokens)]
            best = min(ranks)
            if best == len(self.merges):
                break
            i = ranks.index(best)  # the first of equals
            tokens[i : i + 2] = [self.merges[tokens[i], tokens[i + 1]][1]]
        return tuple(self.unk if token == _UNKNOWN else token for token in tokens)

    def decode(self, tokens: Sequence[int], ignore: Collection[int] | None = None) -> str:
        """The text. ``ignore``: ids that are left out; by default all special ones.

        Raises ValueError for an id that the model does not have.
        """
        skipped = self._specials if ignore is None else ignore
        parts = []
        for token in tokens:
            if token in skipped:
                continue
            piece = self._specials.get(token, self.pieces.get(token))
            if piece is None:
                raise ValueError(f"The tokenizer has {len(self)} tokens, none of them is {token}.")
            parts.append(" " + piece[1:] if piece.startswith(SPACE) else piece)
        return "".join(parts).removeprefix(" ")

    def save(self, folder: Path) -> None:
        """Copies the model file."""
        if folder / FILE != self.path:
            shutil.copyfile(self.path, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> YouTokenToMe:
        """The model file of ``folder``."""
        return cls(folder / FILE)
