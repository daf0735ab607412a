"""The steps to a published captioner, made of what the plan, its recipe and the preset say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference.checkpoints.names import HubModel
from inference.checkpoints.pull.entries import KNOWN, Weights
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.presets.preset import is_named, weights_at
from train_scripts.reproduce.getting import Fetch, FetchFromHub, Unpack
from train_scripts.reproduce.making import Prepare, Promote, Score, Train
from train_scripts.reproduce.plans import Catalogue, System
from train_scripts.reproduce.steps import ByHand, Step
from train_scripts.training.config import TrainConfig, load_config, models_dir

__all__ = ["Places", "config_of", "steps_to"]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders: `data` of data sets, `run` of the run, `models` of the models that are fetched and found."""

    data: Path
    run: Path
    models: Path = field(default_factory=models_dir)

    @property
    def archives(self) -> Path:
        return self.data / "archives"

    @property
    def unpacked(self) -> Path:
        return self.data / "unpacked"


def config_of(system: System, places: Places, overrides: Sequence[str]) -> TrainConfig:
    """The system's recipe on the data sets that will be made; `overrides` as of ``train --set``.

    Raises UserError.
    """
    sources = [
        f"sources.{source}={json.dumps(str(places.data / name))}" for source, name in system.data.items()
    ]
    return load_config(system.recipe, [*sources, *overrides])


def steps_to(
    system: System,
    catalogue: Catalogue,
    config: TrainConfig,
    places: Places,
    addresses: Mapping[str, Weights],
) -> tuple[list[Step], Score]:
    """The steps in their order, and the one of them that has the scores. `addresses`: where weights and
    archives are fetched from instead, by name.

    Each is made after those that need what it makes. Raises UserError.
    """
    promote = Promote(
        title=f"put the model where the bot finds it: {system.model}",
        place=places.models / system.model,
        run_folder=places.run,
    )
    score = Score(
        title=f"score it on the test split of {system.test}",
        place=places.run / "test.json",
        data=places.data / system.test,
        run_folder=places.run,
    )
    train = Train(
        title=f"train, stage by stage: {', '.join(config.stages)}",
        place=places.run,
        feeds=(score, promote),
        config=config,
    )
    sets = [
        Prepare(
            title=f"prepare the data set {name}",
            place=places.data / name,
            feeds=(train, score) if name == system.test else (train,),
            name=name,
            made_of=catalogue.sets[name],
            unpacked=places.unpacked,
            models_dir=places.models,
        )
        for name in _sets(system, config, places)
    ]
    unpacked = _unpacked(sets, catalogue, places)
    archives = list(_archives(unpacked, catalogue, addresses))
    hub = [
        FetchFromHub(
            title=f"fetch the translation model {model}",
            place=places.models / f"models--{model.replace('/', '--')}",
            feeds=tuple(one for one in sets if one.made_of.translate == model),
            model=HubModel.parse(model),
            models_dir=places.models,
        )
        for model in dict.fromkeys(one.made_of.translate for one in sets if one.made_of.translate)
    ]
    weights = list(_weights(config, places, train, addresses))
    by_hand = [step for step in archives if isinstance(step, ByHand)]
    fetched = [step for step in archives if step not in by_hand]
    return [*by_hand, *fetched, *hub, *weights, *unpacked, *sets, train, score, promote], score


def _sets(system: System, config: TrainConfig, places: Places) -> list[str]:
    """The data sets that the stages learn from, without those that `--set` replaced, and the scored one."""
    used = {source for stage in config.stages.values() for source in stage.data}
    ours = [
        name
        for source, name in system.data.items()
        if source in used and config.sources[source] == places.data / name
    ]
    return list(dict.fromkeys([*ours, system.test]))


def _unpacked(sets: Sequence[Prepare], catalogue: Catalogue, places: Places) -> list[Unpack]:
    return [
        Unpack(
            title=f"unpack {name}",
            place=places.unpacked / name,
            feeds=tuple(one for one in sets if name in one.made_of.folders),
            archives=tuple(places.archives / archive for archive in catalogue.folders[name].archives),
            files=catalogue.folders[name].files,
        )
        for name in dict.fromkeys(folder for one in sets for folder in one.made_of.folders)
    ]


def _archives(
    unpacked: Sequence[Unpack], catalogue: Catalogue, addresses: Mapping[str, Weights]
) -> Iterator[Step]:
    for place in dict.fromkeys(archive for one in unpacked for archive in one.archives):
        archive = catalogue.archives[place.name]
        feeds = tuple(one for one in unpacked if place in one.archives)
        wanted = addresses.get(place.name) or archive.remote(place.name)
        if wanted is None:
            yield ByHand(
                title=archive.what, place=place, feeds=feeds, megabytes=archive.megabytes, page=archive.page
            )
        else:
            yield Fetch(
                title=f"fetch {archive.what}",
                place=place,
                feeds=feeds,
                megabytes=wanted.megabytes,
                wanted=wanted,
            )


def _weights(
    config: TrainConfig, places: Places, train: Train, addresses: Mapping[str, Weights]
) -> Iterator[Step]:
    """Of what the preset starts from, that which ``pull`` knows."""
    encoder = config.system.encoder
    names = [Path(usual).parts[0] for usual in config.fetched().values()]
    if encoder.weights is not None and is_named(encoder.weights):
        names += [encoder.kind] * (weights_at(encoder.weights, places.models) == config.encoder.weights)
    for name in sorted(set(names)):
        wanted = addresses.get(name) or KNOWN.get(name)
        if wanted is None:
            raise UserError(
                f"'{PYTHON} -m inference pull' knows no {name}: name its address in a list of --addresses."
            )
        yield Fetch(
            title=f"fetch the weights {name}" + (f": {wanted.what}" if wanted.what else ""),
            place=places.models / name,
            feeds=(train,),
            megabytes=wanted.megabytes,
            wanted=wanted,
        )
