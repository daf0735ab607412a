"""A published captioner as data: what sees, how that reaches what speaks, how words are cut and searched.

Each system is one file of this folder, NAME.yaml, and a file anywhere else is as good. Imports nothing heavy:
:mod:`inference.captioners.building` makes a model of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.common.registry import hint
from inference.common.types import DecodingOptions
from inference.common.yaml_files import complaint, read_yaml

FOLDER = Path(__file__).resolve().parent
_SUFFIX = ".yaml"
_NAMED = ("torchvision:", "package:")
_AS_IT_IS: Mapping[str, Any] = MappingProxyType({})


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Description(_Data):
    """What the system is, one line in each language."""

    en: str
    ru: str


class Part(_Data):
    """An encoder or a decoder: ``kind`` names it in its registry, which checks the settings when it is built.

    ``weights``: what it starts from when it is trained: ``torchvision:NAME`` of torchvision's enum,
    ``package:NAME`` of an installed Python package that carries them, or a path in the folder of models,
    whose first part is what ``python -m inference pull`` fetches.
    """

    kind: str
    settings: dict[str, Any] = {}
    weights: str | None = None

    def changed(self, settings: Mapping[str, Any]) -> Part:
        """The same with other settings, ``kind`` among them."""
        others = dict(settings)
        kind = others.pop("kind", self.kind)
        return self.model_copy(update={"kind": kind, "settings": {**self.settings, **others}})


class Decoder(Part):
    """``vectors``: the word vectors that its embedding starts from, a path as of ``weights``."""

    vectors: str | None = None


class Special(_Data):
    """Numbers of the tokens around a sentence, and of those that are never said."""

    pad: int = Field(ge=0)
    bos: int = Field(ge=0)
    eos: int = Field(ge=0)
    forbidden: tuple[int, ...] = ()


class TokenizerOf(_Data):
    """How words are cut. A model that is trained has as many tokens as its own tokenizer: ``vocabulary`` and
    ``special`` are those of the published one (recurrent ones: 20,000 words where nothing was fixed).

    ``markers``: tokens that a GPT-2 tokenizer gets besides, what is fed before the picture and before the
    sentence. ``settings``: how a vocabulary of words is made; of a GPT-2 tokenizer that has slots for lines
    read, ``slots``: how many. ``files``: where it is, a path as of :attr:`Part.weights`; None where it is
    made from the captions, or lies beside the decoder's weights.
    """

    kind: str
    vocabulary: int = Field(ge=1)
    special: Special
    markers: tuple[str, str] | None = None
    settings: dict[str, Any] = {}
    files: str | None = None


class Preset(_Data):
    """One system at full size."""

    name: str
    description: Description
    source: tuple[str, ...] = Field(min_length=1)  # papers and repositories
    encoder: Part
    bridge: dict[str, Any] = {}  # those of the decoder's settings that say how the picture reaches it
    decoder: Decoder
    tokenizer: TokenizerOf
    decoding: dict[str, Any]
    # Whether `python -m train_scripts reproduce` makes it from public weights and data.
    reproduced: bool = False
    # Counted beforehand, so that listing the presets needs no torch; 0: not counted.
    trainable: int = Field(default=0, ge=0)  # parameters that training changes
    parameters: int = Field(default=0, ge=0)  # all

    @field_validator("decoding")
    @classmethod
    def _decoding(cls, value: dict[str, Any]) -> dict[str, Any]:
        DecodingOptions.from_dict(value)
        return value

    @model_validator(mode="after")
    def _told_once(self) -> Preset:
        twice = sorted(self.bridge.keys() & self.decoder.settings.keys())
        if twice:
            raise ValueError(
                f"{twice[0]} stands under bridge and under decoder.settings: take one of them out"
            )
        return self

    @property
    def options(self) -> DecodingOptions:
        """How this system searches by default."""
        return DecodingOptions.from_dict(self.decoding)

    @property
    def command(self) -> str:
        """The one that makes a checkpoint of this system."""
        how = "reproduce" if self.reproduced else "train --config"
        return f"{PYTHON} -m train_scripts {how} {self.name}"

    @property
    def reads(self) -> Literal["slots", "prompt"]:
        """How this system can be given the words read on a picture, which no original was."""
        tokenizer = self.tokenizer
        return "slots" if tokenizer.kind == "words" or "slots" in tokenizer.settings else "prompt"

    def changed(
        self, *, encoder: Mapping[str, Any] = _AS_IT_IS, decoder: Mapping[str, Any] = _AS_IT_IS
    ) -> Preset:
        """The same system with other settings of its parts, for example of another size. The bridge's
        settings are among the decoder's."""
        parts = {"encoder": self.encoder.changed(encoder), "decoder": self.decoder.changed(decoder)}
        return self.model_copy(update=parts)

    def encoder_config(self) -> dict[str, Any]:
        """What ``build_encoder`` takes."""
        return {"kind": self.encoder.kind, **self.encoder.settings}

    def decoder_config(self) -> dict[str, Any]:
        """What ``build_decoder`` takes, but for the size of the vocabulary."""
        return {"kind": self.decoder.kind, **self.bridge, **self.decoder.settings}


def names() -> list[str]:
    """Of the published systems."""
    return sorted(path.stem for path in FOLDER.glob(f"*{_SUFFIX}"))


def preset(name: str) -> Preset:
    """The named system, or that of a YAML file.

    Raises UserError, one sentence, when there is none of the name, or its file is not right.
    """
    path = Path(name)
    if path.suffix != _SUFFIX and len(path.parts) == 1:
        path = FOLDER / f"{name}{_SUFFIX}"
        if not path.is_file():
            raise UserError(f"There is no preset {name!r}: {hint(name, names())}")
    values = read_yaml(path, "preset", names())
    if "name" in values:
        raise UserError(f"{path} has the unknown key 'name': a preset is called as its file.")
    try:
        return Preset.model_validate({**values, "name": path.stem})
    except ValidationError as error:
        advice = f"add it, as {FOLDER / names()[0]}{_SUFFIX} has it"
        raise UserError(complaint(error, Preset, [(str(path), values)], advice)) from None


def is_named(weights: str) -> bool:
    """Whether a part's weights are a member of torchvision's enum or a package, not a path."""
    return weights.startswith(_NAMED)


def weights_at(weights: str | None, models_dir: Path) -> str | None:
    """Where a part's weights are: a member of torchvision's enum, a package, or a path."""
    if weights is None or is_named(weights):
        return weights and weights.partition(":")[2]
    return str(models_dir / weights)
