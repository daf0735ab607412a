"""What models are called. Names are taken apart here and nowhere else.

===================================== ====================================================================
``NAME``                              a checkpoint: the folder of that name in MODELS_DIR
``coco-objects``                      the things a detector finds, put into words
``hf:ORG/NAME`` at will ``@REVISION`` a model of the Hugging Face hub; a branch, a tag or a commit, else main
``openai:NAME``                       a model that the server at OPENAI_BASE_URL runs, by its own name
===================================== ====================================================================

Behind each may stand ``+ORG/NAME`` (at will ``@REVISION``): the model of the hub that translates the English
words read and, of a hub model that writes English, its captions.

Another kind of model is one more class here and its line in :data:`KINDS`. What models of a kind hold is told
by :mod:`inference.checkpoints.models`, how they are loaded by :mod:`inference.captioners.captioner`.
Imports nothing heavy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from inference.common.types import UnknownModel

_LONGEST = 240  # bytes: file systems end at 255, and a hub model's folder has "models--" before it
_REPEATED = 128  # characters of a name that is none
_HUB = "hf:"  # before a model of the hub
_SERVED = "openai:"  # before a model of a server
_TRANSLATED = "+"  # before the model that translates
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"({_PART}(?:/{_PART})?)(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")


class Model(Protocol):
    """A model without its translation model: what one class of :data:`KINDS` makes of a text."""

    elsewhere: ClassVar[bool]  # another program runs it, and is waited for

    @property
    def name(self) -> str:
        """The text that names it, in its shortest spelling."""

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The model of this kind that the text names; None: the text names one of another kind.

        Raises UnknownModel: it is of this kind, but misspelt.
        """


@dataclass(frozen=True, slots=True)
class HubModel:
    """One repository of the hub at one revision. ``str()`` is ``ORG/NAME`` or ``ORG/NAME@REVISION``."""

    elsewhere: ClassVar[bool] = False

    repo: str  # ORG/NAME, of the oldest repositories NAME
    revision: str = "main"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """See :class:`Model`."""
        return cls.parse(text) if text.startswith(_HUB) else None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``ORG/NAME`` or ``ORG/NAME@REVISION``, with or without ``hf:``. Raises UnknownModel."""
        plain = text.removeprefix(_HUB)
        match = _REPOSITORY.fullmatch(plain.strip())
        # The name may come from a chat and becomes part of a path.
        if match is None or ".." in plain:
            raise UnknownModel(
                f"{plain!r} is no name of a hub model: write it as ORG/NAME or ORG/NAME@REVISION."
            )
        return cls(match[1], match[2] or "main")

    def __str__(self) -> str:
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"

    @property
    def name(self) -> str:
        """See :class:`Model`."""
        return f"{_HUB}{self}"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of a server of OpenAI's protocol."""

    elsewhere: ClassVar[bool] = True

    served: str  # the server's own name of it

    @classmethod
    def read(cls, text: str) -> Self | None:
        """See :class:`Model`."""
        if not text.startswith(_SERVED):
            return None
        served = text.removeprefix(_SERVED)
        if not served or " " in served:
            raise UnknownModel(
                f"{text!r} is no name of a served model: write it as {_SERVED}NAME, as the server calls it."
            )
        return cls(served)

    @property
    def name(self) -> str:
        """See :class:`Model`."""
        return f"{_SERVED}{self.served}"


@dataclass(frozen=True, slots=True)
class CocoObjects:
    """The one captioner that needs no training: a detector's things put into words."""

    elsewhere: ClassVar[bool] = False
    name: ClassVar[str] = "coco-objects"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """See :class:`Model`."""
        return cls() if text == cls.name else None


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A folder of MODELS_DIR. Any text may be one's name: that there is none is said where it is looked for.

    Raises UnknownModel when no file system takes the name, or nobody could read it.
    """

    elsewhere: ClassVar[bool] = False

    name: str

    def __post_init__(self) -> None:
        _refuse_odd(self.name)

    @classmethod
    def read(cls, text: str) -> Self:
        """See :class:`Model`."""
        return cls(text)


# The first that takes a text has it; a folder may be called anything, so it comes last.
KINDS: tuple[type[Model], ...] = (HubModel, ServedModel, CocoObjects, CheckpointFolder)


@dataclass(frozen=True, slots=True)
class ModelName:
    """Everything that a model's name says. ``str()`` is its shortest spelling, which :meth:`parse` reads."""

    model: Model
    translation: HubModel | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UnknownModel, whose text is one sentence, for what cannot be the name of any model."""
        _refuse_odd(text)  # it may come from a chat, or over a network
        plain, _, translation = text.partition(_TRANSLATED)
        found = (kind.read(plain) for kind in KINDS)
        model = next(model for model in found if model is not None)
        return cls(model, HubModel.parse(translation) if translation else None)

    def __str__(self) -> str:
        return self.model.name + (f"{_TRANSLATED}{self.translation}" if self.translation else "")


def _refuse_odd(text: str) -> None:
    if not text.isprintable() or len(text.encode()) > _LONGEST:
        repeated = text if len(text) <= _REPEATED else f"{text[:_REPEATED]}…"
        raise UnknownModel(
            f"There is no model named {repeated!r}: a name has at most {_LONGEST} bytes, "
            "and nothing in it that cannot be seen."
        )
