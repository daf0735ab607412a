"""The steps that make something of the files: data sets, a model, its scores, its place beside the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from inference.checkpoints.folder import is_checkpoint
from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import CheckpointFolder, HubModel, ModelName
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from train_scripts.data.captions import read_references
from train_scripts.data.journal import append_rows, kept_rows
from train_scripts.data.prepare import WORK, Plan, is_prepared, prepare
from train_scripts.data.records import Item
from train_scripts.data.sources.coco import read_coco
from train_scripts.data.sources.table import Columns, read_table
from train_scripts.data.translate import Translates
from train_scripts.files import write_text
from train_scripts.metrics.evaluator import evaluate
from train_scripts.reproduce.plans import DataSet
from train_scripts.reproduce.steps import Step
from train_scripts.training.config import TrainConfig

__all__ = ["Prepare", "Promote", "Score", "Train"]

_COLUMNS = Columns(picture="uid", text="text")
_MODEL = "model"  # of a run's folder
_TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Prepare(Step):
    """A data set, by ``prepare``. `unpacked`: the folder of the unpacked folders."""

    name: str
    made_of: DataSet
    unpacked: Path
    models_dir: Path

    def there(self) -> bool:
        return is_prepared(self._plan())

    def run(self) -> str:
        report = prepare(lambda _: self._items(), self._plan())
        left_out = sum(report.reasons.values())
        why = self.place / WORK / "report.md"
        return f"{self.place}: {report.written:,} rows, {left_out:,} left out (why: {why})"

    def _plan(self) -> Plan:
        model = self.made_of.translate
        return Plan(
            self.place,
            {"source": f"reproduce {self.name}", **self.made_of.model_dump(mode="json")},
            link=True,  # the unpacked pictures stay, and a link costs nothing
            translator=None if model is None else (model, self._translator),
        )

    def _translator(self) -> Translates:
        from inference.captioners.hub.translation import Translator  # noqa: PLC0415 - torch

        return Translator(HubModel.parse(str(self.made_of.translate)), self.models_dir)

    def _items(self) -> Iterator[Item]:
        pictures = self.unpacked / self.made_of.pictures
        return chain.from_iterable(
            read_coco(path, pictures, source=self.name, split=split)
            if path.suffix == ".json"
            else read_table(path, pictures, columns=_COLUMNS, split=split)
            for split, path in ((split, self.unpacked / file) for split, file in self.made_of.files.items())
        )


@dataclass(frozen=True, kw_only=True)
class Train(Step):
    """All stages of a recipe, by ``train``. `place`: the folder of the run."""

    config: TrainConfig

    def there(self) -> bool:
        if not self._begun():
            return False
        from train_scripts.training.state import RunFolder  # noqa: PLC0415 - torch

        RunFolder(self.place, self.config, resume=True, processes=1)  # refuses a run of other settings
        return is_checkpoint(self.place / _MODEL) and (self.place / "report.html").is_file()

    def run(self) -> str:
        from train_scripts.training.run import train  # noqa: PLC0415 - torch

        model = train(self.config, self.place, resume=self._begun())
        return f"{model}: trained (how: {self.place / 'report.html'})"

    def state(self) -> str:
        epochs = self.place / "epochs.jsonl"
        if self.done() or not epochs.is_file():
            return super().state()
        most = sum(stage.epochs for stage in self.config.stages.values())
        return f"{len(epochs.read_bytes().splitlines())} of {most} epochs"

    def _begun(self) -> bool:
        return (self.place / "config.yaml").is_file()


@dataclass(frozen=True, kw_only=True)
class Score(Step):
    """The trained model's captions of a data set's test split, picture by picture, and what they are worth.

    `place`: the folder of the run, whose `test.json` has the scores.
    """

    data: Path
    run_folder: Path

    def there(self) -> bool:
        return self.scores() is not None

    def scores(self) -> Mapping[str, Any] | None:
        """What the evaluator's report says of these weights; None before it is there."""
        if not self.place.is_file() or not is_checkpoint(self.run_folder / _MODEL):
            return None
        found: dict[str, Any] = json.loads(self.place.read_text(encoding="utf-8"))
        return found if found["checkpoint"] == _hash(self.run_folder, _MODEL) else None

    def run(self) -> str:
        references = read_references(self.data, split=_TEST)
        checkpoint = _hash(self.run_folder, _MODEL)
        said = self.place.with_name(f"{_TEST}-{checkpoint[:12]}.jsonl")
        captions = self._captions(said, list(references))
        report = evaluate(captions, references)
        try:
            write_text(
                self.place, json.dumps({"checkpoint": checkpoint, **report.to_dict()}, indent=1) + "\n"
            )
        except OSError as error:
            raise UserError(f"{self.place} cannot be written ({error.strerror}): make room there.") from error
        return f"{said}: what it says of {report.pictures:,} pictures that nothing was learnt from"

    def _captions(self, said: Path, names: list[str]) -> dict[str, str]:
        """By file name, as whoever asks the model gets them; what `said` holds is not asked again."""
        import inference  # noqa: PLC0415 - the package knows nothing of torch, loading a model does

        captions = {row["file_name"]: row["text"] for row in kept_rows(said, "file_name", "text")}
        missing = [name for name in names if name not in captions]
        if missing:
            model = inference.load(_MODEL, self.run_folder)
            for name in tqdm(missing, desc="Describing the test pictures", unit="picture", disable=None):
                text = model.caption_file(self.data / name).text
                append_rows(said, [{"file_name": name, "text": text}])
                captions[name] = text
        return {name: captions[name] for name in names}


@dataclass(frozen=True, kw_only=True)
class Promote(Step):
    """The trained model in the folder of models, where the bot finds it. `place`: its folder there."""

    run_folder: Path

    def there(self) -> bool:
        if not is_checkpoint(self.place) or not is_checkpoint(self.run_folder / _MODEL):
            return False
        return _hash(self.place.parent, self.place.name) == _hash(self.run_folder, _MODEL)

    def run(self) -> str:
        from train_scripts.feedback.promote import promote  # noqa: PLC0415 - torch

        name, models_dir = self.place.name, self.place.parent
        if is_checkpoint(self.place):
            raise UserError(
                f"{self.place} is another model: move it away, or put this one in its place by '{PYTHON} -m "
                f"train_scripts promote {self.run_folder} --name {name} --models-dir {models_dir} --force'."
            )
        return str(promote(self.run_folder, name, models_dir))


def _hash(models_dir: Path, name: str) -> str:
    return checkpoint_hash(models_dir, ModelName(CheckpointFolder(name)))
