"""What is behind a model's name, told without torch: whether it is there, what it is, and the hash that its
captions depend on.

One :class:`Source` a kind of :data:`inference.checkpoints.names.KINDS`, found in :data:`SOURCES`.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from inference.checkpoints import coco_objects, hub
from inference.checkpoints.card import Card, Score
from inference.checkpoints.folder import (
    WEIGHTS_FILE,
    count_parameters,
    find_checkpoint,
    is_checkpoint,
    weights_hash,
)
from inference.checkpoints.names import CheckpointFolder, CocoObjects, HubModel, Model, ModelName, ServedModel
from inference.common.types import LANGUAGES, EngineError, Language, UnknownModel

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Model)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model a person can choose."""

    name: str
    checkpoint: str  # see checkpoint_hash
    description: str  # what it is good at, one line: the card's first paragraph; "" without a card
    parameters: int  # numbers in all tensors of the weights; 0 where only loading them would tell
    description_ru: str = ""  # the same in Russian, of the card's front matter; "" without one
    scores: tuple[Score, ...] = ()  # of the card's front matter
    talks: bool = False  # it answers questions about a picture

    @property
    def languages(self) -> tuple[Language, ...]:
        """What it describes in: one that talks in what it is asked for."""
        return LANGUAGES if self.talks else ("ru",)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The model of ``dataclasses.asdict``. Raises KeyError or TypeError when a field is missing or
        unknown."""
        return cls(**{**values, "scores": tuple(Score(**score) for score in values["scores"])})


@dataclass(frozen=True, slots=True)
class MissingModel:
    """One that could be chosen, were its weights here."""

    name: str
    description: str  # one line, as of :class:`ModelInfo`
    description_ru: str
    command: str  # that gets it


@dataclass(frozen=True, slots=True)
class About:
    """What a model says of itself, see :class:`ModelInfo`."""

    card: Card
    parameters: int


class Source(ABC, Generic[Kind]):
    """Where models of one kind are kept."""

    def names(self, models_dir: Path) -> list[str]:  # noqa: ARG002 - most kinds list nothing
        """Those that may be offered, in order. A model that has none may still be asked for by its name."""
        return []

    def missing(self, models_dir: Path) -> list[MissingModel]:  # noqa: ARG002
        """Those that are known and not there, in order."""
        return []

    @abstractmethod
    def checkpoint(self, model: Kind, translation: HubModel | None, models_dir: Path) -> str:
        """See :func:`checkpoint_hash`, with its errors."""

    @abstractmethod
    def about(self, model: Kind, models_dir: Path) -> About:
        """Of a model that is there. Raises EngineError when its files are damaged."""

    def host(self) -> str | None:
        """See :func:`model_host`."""
        return None


class _OneFile(Source[Kind]):
    """Kinds whose weights are one file on this machine."""

    @abstractmethod
    def weights(self, model: Kind, models_dir: Path) -> Path:
        """Raises UnknownModel, which says how to get it, when the file is missing."""

    def checkpoint(self, model: Kind, translation: HubModel | None, models_dir: Path) -> str:
        return _translated(weights_hash(self.weights(model, models_dir)), translation, models_dir)


def _translated(checkpoint: str, translation: HubModel | None, models_dir: Path) -> str:
    """The checkpoint of a model whose words are translated by another."""
    if translation is None:
        return checkpoint
    commit = hub.find_snapshot(translation, models_dir).name
    return hashlib.sha256(f"{checkpoint} {commit}".encode()).hexdigest()


class _Folders(_OneFile[CheckpointFolder]):
    def names(self, models_dir: Path) -> list[str]:
        folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
        return [folder.name for folder in folders if is_checkpoint(folder)]

    def missing(self, models_dir: Path) -> list[MissingModel]:
        from inference.presets import preset  # noqa: PLC0415 - no worker asks for this

        there = self.names(models_dir)
        presets = [preset.preset(name) for name in preset.names() if name not in there]
        return [
            MissingModel(one.name, one.description.en, one.description.ru, one.command) for one in presets
        ]

    def weights(self, model: CheckpointFolder, models_dir: Path) -> Path:
        return find_checkpoint(models_dir, model) / WEIGHTS_FILE

    def about(self, model: CheckpointFolder, models_dir: Path) -> About:
        from inference.checkpoints.card_file import read_card  # noqa: PLC0415 - as above

        folder = find_checkpoint(models_dir, model)
        return About(read_card(folder), count_parameters(folder))


class _Objects(_OneFile[CocoObjects]):
    def names(self, models_dir: Path) -> list[str]:  # noqa: ARG002 - whether its weights are there is seen later
        return [CocoObjects.name]

    def missing(self, models_dir: Path) -> list[MissingModel]:
        if any(path.is_file() for path in coco_objects.places(models_dir)):
            return []
        about = coco_objects.CARD
        return [MissingModel(CocoObjects.name, about.description, about.description_ru, coco_objects.COMMAND)]

    def weights(self, model: CocoObjects, models_dir: Path) -> Path:  # noqa: ARG002 - there is one
        return coco_objects.weights(models_dir)

    def about(self, model: CocoObjects, models_dir: Path) -> About:  # noqa: ARG002
        return About(coco_objects.CARD, 0)


class _Hub(Source[HubModel]):
    def checkpoint(self, model: HubModel, translation: HubModel | None, models_dir: Path) -> str:
        return hub.checkpoint(hub.HubSettings.of(model, translation), models_dir)

    def about(self, model: HubModel, models_dir: Path) -> About:  # their cards are in any shape
        snapshot = hub.find_snapshot(model, models_dir)
        return About(Card(talks=hub.takes_chat(snapshot)), 0)


class _Served(Source[ServedModel]):
    # Their settings are imported where they are asked for: a worker of local models does without.
    def names(self, models_dir: Path) -> list[str]:  # noqa: ARG002 - they are not on this machine
        from inference.checkpoints import served  # noqa: PLC0415

        try:
            return [ServedModel(name).name for name in served.ServerSettings.of().models]
        except EngineError as error:
            logger.warning("%s", error)
            return []

    def checkpoint(self, model: ServedModel, translation: HubModel | None, models_dir: Path) -> str:
        from inference.checkpoints import served  # noqa: PLC0415

        return _translated(served.checkpoint(model), translation, models_dir)

    def about(self, model: ServedModel, models_dir: Path) -> About:  # noqa: ARG002
        from inference.checkpoints import served  # noqa: PLC0415

        return About(served.CARD, 0)

    def host(self) -> str | None:
        from inference.checkpoints import served  # noqa: PLC0415

        return served.ServerSettings.of().elsewhere


SOURCES: dict[type[Model], Source[Any]] = {
    CheckpointFolder: _Folders(),
    CocoObjects: _Objects(),
    HubModel: _Hub(),
    ServedModel: _Served(),
}


def list_models(models_dir: Path, also: Iterable[str] = ()) -> list[ModelInfo]:
    """All models that are offered: checkpoints by name, then ``coco-objects`` where its weights are, then
    those of a server that OPENAI_MODELS names. Then those of ``also``, names that need not be offered.

    A damaged one, and one whose server does not answer, is left out with a warning in the log; what is not
    there without one.
    """
    models = []
    offered = [name for source in SOURCES.values() for name in source.names(models_dir)]
    for name in dict.fromkeys((*offered, *also)):
        try:
            models.append(model_info(models_dir, ModelName.parse(name)))
        except UnknownModel:
            continue
        except EngineError as error:
            logger.warning("%s", error)
    return models


def missing_models(models_dir: Path) -> list[MissingModel]:
    """All models that are known and whose weights are not there: presets by name, then ``coco-objects``."""
    return [model for source in SOURCES.values() for model in source.missing(models_dir)]


def model_info(models_dir: Path, name: ModelName) -> ModelInfo:
    """The named model. Raises UnknownModel, or EngineError when its weights are damaged."""
    checkpoint = checkpoint_hash(models_dir, name)
    about = SOURCES[type(name.model)].about(name.model, models_dir)
    card = about.card
    return ModelInfo(
        str(name),
        checkpoint,
        card.description,
        about.parameters,
        card.description_ru,
        card.scores,
        card.talks,
    )


def model_host(name: ModelName) -> str | None:
    """The machine elsewhere to which pictures for this model go, as HOST:PORT; None: they stay on this one.

    Nobody is asked for it, so it is known of a server that does not answer too.
    Raises UnknownModel where a setting is wrong.
    """
    return SOURCES[type(name.model)].host()


def checkpoint_hash(models_dir: Path, name: ModelName) -> str:
    """What the named model's captions depend on: sha256 of its weights, 64 hexadecimal digits, or of that and
    the translation model's commit; of a hub model the commit of its files, 40 digits, see
    :func:`inference.checkpoints.hub.checkpoint`; of a served one see :func:`.served.checkpoint`.

    The first call for a file reads all of it; later ones only look whether it is still the same.
    Raises UnknownModel, or EngineError when the file cannot be read.
    """
    return SOURCES[type(name.model)].checkpoint(name.model, name.translation, models_dir)
