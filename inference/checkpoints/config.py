"""What a checkpoint says of itself: how it is built (config.json) and how it came to be (training.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from inference.common.types import DecodingOptions

FORMAT = 2

Settings = Mapping[str, Any]  # JSON-able; whoever they are for checks them
# What format 1 kept in config.json too.
_ELSEWHERE = frozenset({"concepts", "word_concepts", "training", "scores", "lineage", "source"})


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """What config.json says. ``encoder`` and ``decoder`` are checked by the parts that they build."""

    architecture: str
    encoder: Settings
    decoder: Settings
    decoding: DecodingOptions  # that the model was made for
    own: Settings = field(default_factory=dict)  # what only this architecture has
    preset: str = ""  # that it was built from; "" where none

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, in the order in which a person reads it."""
        return {
            "format": FORMAT,
            "architecture": self.architecture,
            **({"preset": self.preset} if self.preset else {}),
            "encoder": self.encoder,
            "decoder": self.decoder,
            **self.own,
            "decoding": self.decoding.to_dict(),
        }

    @classmethod
    def from_dict(cls, stored: Settings) -> Self:
        """What :meth:`to_dict` gave. Raises KeyError for what is missing, ValueError for what is wrong."""
        known = {option.name for option in fields(cls)} | {"format"} | _ELSEWHERE
        return cls(
            stored["architecture"],
            stored["encoder"],
            stored["decoder"],
            DecodingOptions.from_dict(stored["decoding"]),
            {key: value for key, value in stored.items() if key not in known},
            stored.get("preset", ""),
        )


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model was made from."""

    parent: str | None  # sha256 of the weights it went on from; None: it began anew
    created: str  # ISO 8601
    data: tuple[Settings, ...] = ()  # a table for each source or stage
    feedback: Settings | None = None  # what people taught it; None: nothing
    parent_name: str = ""
    ancestors: tuple[str, ...] = ()  # the parent's parents, the eldest first
    options: Settings = field(default_factory=dict)

    @classmethod
    def from_dict(cls, stored: Settings) -> Self:
        """What ``asdict`` gave, through JSON. Raises TypeError for what is missing or unknown."""
        lists = {key: tuple(stored.get(key, ())) for key in ("data", "ancestors")}
        return cls(**{**stored, **lists})


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """``training.json``: how a model came to be. Nothing of it is needed to run the model."""

    training: Settings = field(default_factory=dict)  # recipe and history, in the words of who trained it
    scores: Settings = field(default_factory=dict)  # as the evaluator reports them
    lineage: Lineage | None = None
    # Of weights made elsewhere: {"format", "files": {name: sha256}}.
    source: Settings = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is empty is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, stored: Settings) -> Self:
        """What :meth:`to_dict` gave, or a config.json of format 1. Raises TypeError, ValueError or
        AttributeError.
        """
        told = {key: dict(stored.get(key, {})) for key in ("training", "scores", "source")}
        lineage = stored.get("lineage")
        return cls(**told, lineage=Lineage.from_dict(lineage) if lineage else None)
