"""GPT-2's byte-level byte-pair encoding, from the files of a Hugging Face folder."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import AddedToken, ByteLevelBPETokenizer, Tokenizer

from inference.tokenizers.words_read import slot_names

FILE = "tokenizer.json"
_NAMES = {
    "pad": ("<pad>", "<|pad|>", "<|endoftext|>"),
    "bos": ("<s>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("</s>", "<|endoftext|>"),
}
# A published vocabulary has neither: there a space is written as another character.
_OPENS, _CLOSES = ' "', '"'
# « » “ ” „ in the characters that byte-level tokens are written with, whole or all but the last byte.
_OTHER_MARKS = re.compile("Â[«»]|âĢ(?:[ľĿŀ]|$)")


class Gpt2Tokenizer:
    """Known by their usual names: <s>, </s>, <pad> (ruGPT-3), <|endoftext|> for all three (GPT-2).

    ``slots`` and ``marks``: the ids of what :meth:`add_slots` gave it, where it did; ``other_marks``: then
    those of what has quotation marks of another kind. Raises ValueError when there is no end token.
    """

    kind = "gpt2"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.eos = self._special("eos")
        self.bos = self._special("bos", self.eos)
        self.pad = self._special("pad", self.eos)
        self._find_slots()

    def _find_slots(self) -> None:
        vocabulary = self.tokenizer.get_vocab()
        named = itertools.takewhile(vocabulary.__contains__, slot_names(len(vocabulary)))
        self.slots = [vocabulary[name] for name in named]
        opens, closes = vocabulary.get(_OPENS), vocabulary.get(_CLOSES)
        self.marks = None if opens is None or closes is None else (opens, closes)
        names = vocabulary if self.marks else ()
        self.other_marks = sorted(vocabulary[name] for name in names if _OTHER_MARKS.search(name))

    def _special(self, role: str, default: int | None = None) -> int:
        ids = (self.tokenizer.token_to_id(name) for name in _NAMES[role])
        found = next((token for token in ids if token is not None), default)
        if found is None:
            raise ValueError("The tokenizer has no end token, </s> or <|endoftext|>: is it GPT-2's?")
        return found

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids without start and end."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text, without what surrounds it."""
        special = {self.bos, self.eos, self.pad}
        text = self.tokenizer.decode([token for token in tokens if token not in special]).strip()
        return text.replace("><", "> <") if self.slots else text

    def add(self, *tokens: str) -> list[int]:
        """Adds special tokens (image and text markers); their ids, new or old."""
        self.tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
        ids = (self.tokenizer.token_to_id(token) for token in tokens)
        return [token for token in ids if token is not None]

    def add_slots(self, count: int) -> None:
        """Adds tokens for ``count`` lines read on a picture, and for the marks around a quotation, which are
        then never part of others."""
        # Two lines in a quotation follow one another without a token for the space between them.
        slots = [AddedToken(name, lstrip=True, normalized=False) for name in slot_names(count)]
        marks = [AddedToken(mark, normalized=False) for mark in (_OPENS, _CLOSES)]
        self.tokenizer.add_tokens([*slots, *marks])
        self._find_slots()

    def save(self, folder: Path) -> None:
        """One tokenizer.json."""
        self.tokenizer.save(str(folder / FILE), pretty=False)

    @classmethod
    def load(cls, folder: Path) -> Gpt2Tokenizer:
        """From tokenizer.json, or vocab.json and merges.txt (with added_tokens.json where there is one).

        Raises FileNotFoundError when the folder has neither, ValueError when a file is damaged.
        """
        if (folder / FILE).is_file():
            with _reading(folder / FILE) as path:
                whole: Tokenizer = Tokenizer.from_file(str(path))
            return cls(whole)
        vocabulary, merges, added = (
            folder / name for name in ("vocab.json", "merges.txt", "added_tokens.json")
        )
        if not vocabulary.is_file() or not merges.is_file():
            raise FileNotFoundError(
                f"{folder} holds no tokenizer: it needs {FILE}, or vocab.json and merges.txt."
            )
        with _reading(vocabulary) as path:
            model = ByteLevelBPETokenizer(str(path), str(merges), add_prefix_space=False)
        tokenizer: Tokenizer = model._tokenizer  # the wrapper has no public way to what it wraps
        known = [
            name for names in _NAMES.values() for name in names if tokenizer.token_to_id(name) is not None
        ]
        extra: dict[str, int] = json.loads(added.read_text(encoding="utf-8")) if added.is_file() else {}
        ordered = [*dict.fromkeys(known), *sorted(extra, key=extra.__getitem__)]
        tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ordered])
        return cls(tokenizer)


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    try:
        yield path
    except Exception as error:  # the library's, of no kind of their own
        raise ValueError(f"{path} is damaged, or what lies beside it: get the files anew.") from error
