"""The texts that models which talk are asked with: one file each, ours or the operator's.

Ours lie beside the captioners that use them. A file of the same name in the folder that CHAT_PROMPTS names
stands in for one of ours. What a model says depends on them, so that their hash belongs to its checkpoint.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Self

from inference.common import settings_file
from inference.common.types import EngineError, Language

__all__ = ["FOLDER", "PLACES", "SETTING", "PromptError", "Prompts"]

SETTING: Final = "CHAT_PROMPTS"
FOLDER: Final = Path(__file__).parents[1] / "captioners" / "chat" / "prompts"
# By the file's name, what stands in braces where something is written in.
PLACES: Final[Mapping[str, frozenset[str]]] = {
    "describe": frozenset({"language"}),  # what a description is
    "short": frozenset(),  # how long it is
    "usual": frozenset(),
    "detailed": frozenset(),
    "quoting": frozenset(),  # the words on the picture stand in it
    "apart": frozenset(),  # they do not
    "words": frozenset({"kind", "words"}),  # what our reader found
    "under": frozenset({"question"}),  # a question that the description is to answer
    "question": frozenset({"language", "question"}),
    "joke": frozenset({"language"}),
    "again": frozenset({"language"}),  # said to a model that answered in another language
    "languages": frozenset(),  # a line a language: its code, a colon, how it is called in the texts above
}
_SUFFIX = ".txt"
_PLACE = re.compile(r"\{(\w+)\}")


class PromptError(EngineError):
    """A file of the operator's cannot be used: ``str()`` says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """One text for each name of :data:`PLACES`."""

    texts: Mapping[str, str]
    replaced: bool  # one of them at least is not ours

    @classmethod
    def of(cls) -> Self:
        """Those that the environment, or ``.env``, asks for. Raises PromptError."""
        folder = ({**settings_file.written(), **os.environ}.get(SETTING) or "").strip()
        return cls.read(Path(folder) if folder else None)

    @classmethod
    def read(cls, folder: Path | None = None) -> Self:
        """Ours, with those of a folder in their places. Raises PromptError."""
        theirs = {} if folder is None else _read(folder)
        for name, text in theirs.items():
            if name not in PLACES:
                known = ", ".join(f"{own}{_SUFFIX}" for own in PLACES)
                raise PromptError(
                    f"{SETTING} holds {name}{_SUFFIX}, which is none of {known}: rename it, or remove it."
                )
            for place in sorted(PLACES[name]):
                if f"{{{place}}}" not in text:
                    raise PromptError(
                        f"{name}{_SUFFIX} in {SETTING} does not say where {{{place}}} goes: write it in."
                    )
        prompts = cls({**_ours(), **theirs}, bool(theirs))
        prompts.language("ru")
        return prompts

    def described_by(self, text: str | None) -> Self:
        """The same, with another description of what a description is; None: they stay as they are."""
        return self if text is None else replace(self, texts={**self.texts, "describe": text})

    @property
    def hash(self) -> str:
        """sha256 of all of them, 64 hexadecimal digits."""
        said = "\0".join(f"{name}\0{self.texts[name]}" for name in sorted(self.texts))
        return hashlib.sha256(said.encode()).hexdigest()

    def text(self, name: str, **places: str) -> str:
        """One of them, with what is written in."""
        # Not by str.format: a prompt may show JSON, whose braces are its own.
        return _PLACE.sub(lambda found: places.get(found[1], found[0]), self.texts[name])

    def language(self, code: Language) -> str:
        """What a language is called in the texts. Raises PromptError."""
        for line in self.texts["languages"].splitlines():
            own, _, name = line.partition(":")
            if own.strip() == code and name.strip():
                return name.strip()
        raise PromptError(f"languages{_SUFFIX} in {SETTING} has no line for {code!r}: write it in.")


@cache
def _ours() -> dict[str, str]:
    return _read(FOLDER)


def _read(folder: Path) -> dict[str, str]:
    try:
        return {
            path.stem: path.read_text(encoding="utf-8").strip()
            for path in sorted(folder.iterdir())
            if path.suffix == _SUFFIX
        }
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise PromptError(f"{SETTING}: {folder} cannot be read ({reason}): correct it.") from error
