"""What the steps of a run are made from: rows, what was read on their pictures, captions in tokens, and what
the encoder sees.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.detectors import Array
from inference.captioners.encoder_decoder.model import CaptionModel, array_of
from inference.common.errors import UserError
from inference.common.file_names import picture_of
from inference.common.interpreter import PYTHON
from inference.decoding.processors import LogitsProcessor
from inference.encoders.base import Memory
from inference.reading.reading import Reading
from inference.tokenizers.base import marks_of
from train_scripts.meme_small.readings import Kept, read_kept, reading_of
from train_scripts.metrics.evaluator import evaluate
from train_scripts.pictures import check_pictures, open_picture, with_pictures
from train_scripts.training.augment import augment
from train_scripts.training.config import REWARD, VAL_LOSS, StageConfig, TrainConfig
from train_scripts.training.data import (
    TrainRow,
    batches_of,
    first_rows,
    hash_of,
    held_out,
    read_rows,
    references_of,
    shares,
)
from train_scripts.training.features import FeatureCache, encoder_identity
from train_scripts.training.rewards import Rewards
from train_scripts.training.seeing import Seer

__all__ = [
    "Inputs",
    "Part",
    "Readings",
    "StageRows",
    "least_rows",
    "read_stage",
    "readings_of",
    "stage_readings",
    "validated",
]

_DEFAULT_CACHE = Path("runs/features")

Readings = Mapping[Path, Reading]  # by picture
_NOTHING_READ = Reading((0, 0))  # where no words were kept


@dataclass(frozen=True, slots=True)
class StageRows:
    """What a stage learns from, what tells its best weights, and what is scored in the end."""

    train: list[TrainRow]
    val: list[TrainRow]
    choosing: list[TrainRow]

    @property
    def every(self) -> list[TrainRow]:
        """All rows, those of val that choose as well but once."""
        return [*self.train, *self.val, *(self.choosing if self.choosing is not self.val else ())]

    def notes(self, stage: str) -> list[str]:
        """What a person should know about them, one sentence each."""
        both = {row.picture.resolve() for row in self.train} & {row.picture.resolve() for row in self.val}
        if not both:
            return []
        return [
            f"{len(both)} pictures of stage {stage} are both in train and in val: its metrics say how much "
            "is remembered, not how much is understood."
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that go through the model together, ready for the objective."""

    memory: Memory  # or pixels, where the encoder is trained
    batch: Batch
    weights: tuple[float, ...]
    rows: tuple[TrainRow, ...]
    read: tuple[bool, ...]  # whether the model is told what was read on the row's picture


def read_stage(config: TrainConfig, name: str) -> StageRows:
    """The rows of a stage. Raises UserError, and UserError when there are none that it needs."""
    stage = config.stages[name]
    train, val = (
        [row for source in stage.data for row in read_rows(config.sources[source], split)]
        for split in ("train", "val")
    )
    train = train[: stage.limit] if stage.limit else train
    choosing = val
    if stage.held_out:
        held = held_out((row.file_name for row in train), stage.held_out)
        choosing = [row for row in train if row.file_name in held]
        train = [row for row in train if row.file_name not in held]
        if choosing and not train:
            raise UserError(
                f"Stage {name} holds out all {len(held)} pictures of its split train: lower "
                f"stages.{name}.held_out ({stage.held_out}), or give it more data."
            )
    if not train:
        raise UserError(
            f"Stage {name} has no rows of the split train in {', '.join(stage.data)}: give it others."
        )
    if not choosing and (stage.metric != VAL_LOSS or stage.patience):
        raise UserError(
            f"Stage {name} is to stop by {stage.metric}, but its data have no rows of the split val: "
            f"prepare the data with one, or leave stages.{name}.metric and patience out."
        )
    if stage.metric not in {VAL_LOSS, REWARD}:
        _must_be_defined(name, stage, choosing)
    return StageRows(train, val, choosing)


def _must_be_defined(name: str, stage: StageConfig, val: Sequence[TrainRow]) -> None:
    """Raises UserError where no captions of the val pictures could have a value of the stage's metric."""
    references = references_of(val, validated(stage, val))
    first = {picture: texts[0] for picture, texts in references.items()}
    if math.isnan(evaluate(first, references, resamples=1)[stage.metric]):
        raise UserError(
            f"{stage.metric}, by which stage {name} is to stop, is not defined on its {len(references)} "
            "pictures of the split val (CIDEr-D needs captions that differ, a score of quoted words needs "
            "quotations): give it others, or choose another metric."
        )


def validated(stage: StageConfig, val: Sequence[TrainRow]) -> list[TrainRow]:
    """The pictures whose captions are scored after an epoch, by a row each."""
    return first_rows(val)[: stage.validate_pictures or None]


def stage_readings(config: TrainConfig, data: Mapping[str, StageRows]) -> Readings | None:
    """What was read on each picture, for a model that is given them; else None.

    Raises UserError when a picture was never read or what was kept is damaged, and UnreadablePicturesError.
    """
    given = config.words not in {None, "none"}
    if not given and config.start_from is None:
        return None
    known: dict[Path, Kept] = {}
    for source, path in config.readings.items():
        if source not in config.sources:
            raise UserError(f"readings names {source}, which is none of the sources: name it as there.")
        folder = config.sources[source]
        known |= {picture_of(folder, name): kept for name, kept in read_kept(path).items()}
    rows = [row for stage in data.values() for row in stage.every]
    unread = next((row for row in rows if row.picture not in known), None) if given else None
    if unread is not None:
        raise UserError(
            f"{unread.where}, names {unread.file_name}, which was never read: read the pictures with "
            f"'{PYTHON} -m train_scripts read' and name the file under readings."
        )
    # Made anew for each run: lines depend on the line scorer, and their order on what is on the picture.
    return with_pictures(
        (row.picture for row in rows if row.picture in known),
        lambda picture, image: reading_of(known[picture], image),
        desc="readings",
    )


def readings_of(readings: Readings | None, rows: Sequence[TrainRow]) -> list[Reading] | None:
    """Those of the rows' pictures, for a model that is given them."""
    return None if readings is None else [readings.get(row.picture, _NOTHING_READ) for row in rows]


def least_rows(model: CaptionModel) -> int:
    """So many rows must go through the model together for it to learn: a BatchNorm needs two."""
    norms = torch.nn.modules.batchnorm._BatchNorm
    return 2 if any(isinstance(module, norms) for module in model.decoder.modules()) else 1


class Inputs:
    """Makes the parts of every step, on this process; the heavy work in the threads of ``pool``."""

    def __init__(
        self,
        config: TrainConfig,
        data: Mapping[str, StageRows],
        model: CaptionModel,
        *,
        readings: Readings | None,
        accelerator: Accelerator,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.config = config
        self.data = data
        self.model = model
        self.accelerator = accelerator
        self.pool = pool
        self.trains_encoder = any(parameter.requires_grad for parameter in model.encoder.parameters())
        self.least_rows = least_rows(model)
        # By picture learned from, (k,): how likely each lemma is to detectors that were not fitted to it.
        self.apart: Mapping[Path, Array] = {}
        self._readings = readings
        self._cache: FeatureCache | None = None  # of all stages that keep features
        self._sentences: dict[tuple[TrainRow, bool], Batch] = {}
        self._rewards: dict[str, Rewards] = {}  # by stage

    def readings_of(self, rows: Sequence[TrainRow]) -> list[Reading] | None:
        """See :func:`readings_of`."""
        return readings_of(self._readings, rows)

    # --- captions ---

    def _sentence(self, row: TrainRow, *, read: bool = True) -> Batch:
        """Cut into tokens once in a run: that is a seventh of a step over kept features."""
        key = (row, read)
        if key not in self._sentences:
            self._sentences[key] = self.model.batch([row.text], self.readings_of([row]) if read else None)
        return self._sentences[key]

    def batch(self, rows: Sequence[TrainRow], read: Sequence[bool] | None = None) -> Batch:
        """The rows' captions in tokens, padded to the longest; ``read``: whether the model is told what was
        read on their pictures (None: of all)."""
        told = [True] * len(rows) if read is None else read
        sentences = [self._sentence(row, read=known) for row, known in zip(rows, told, strict=True)]
        return Batch.together(sentences, self.model.special.pad)

    def leading(self, rows: Sequence[TrainRow], memory: Memory) -> list[LogitsProcessor]:
        """What the model's detectors make of ``memory``, what the encoder yields for the rows' pictures; of
        those that they were fitted to, what others make of it, see :attr:`apart`."""
        detectors = self.model.speaker.detectors
        if detectors is None or not isinstance(memory, Tensor):
            return []
        likely = detectors.likely(array_of(memory))
        for own, row in zip(likely, rows, strict=True):
            own[:] = self.apart.get(row.picture, own)
        return [detectors.leading(likely, marks_of(self.model.speaker.cutter()))]

    def led(self, batch: Batch, rows: Sequence[TrainRow], memory: Memory) -> Batch:
        """The rows' batch, learned from as the model speaks: with what its detectors add, if it has any."""
        leading = self.leading(rows, memory)
        return self.model.led(batch, leading) if leading else batch

    def rewards(self, name: str) -> Rewards | None:
        """What a caption of a picture of this stage is worth; None where the stage rewards none."""
        reward, data = self.config.stages[name].reward, self.data[name]
        if reward is not None and name not in self._rewards:
            rows = [*data.train, *data.choosing]
            self._rewards[name] = Rewards(reward.weights, references_of(rows, rows))
        return self._rewards.get(name)

    # --- steps ---

    def steps(self, name: str, seed: str) -> list[list[int]]:
        """The rows of each step of an epoch, of all processes, as places in the stage's training rows."""
        stage = self.config.stages[name]
        size = stage.batch * stage.accumulate * self.accelerator.num_processes
        # In tokens, since a step takes as long as its longest sentence.
        lengths = [self._sentence(row).tokens.shape[1] for row in self.data[name].train]
        return batches_of(
            lengths, size, seed=f"{seed} order", pairs=stage.pairs_per_epoch, least=self.least_rows
        )

    def parts(self, name: str, rows: Sequence[int], seed: str) -> list[Part]:
        """This process's rows of a step, in as many parts as are accumulated, if there are rows enough. May
        run in a thread.

        ``seed``: of the changes that pictures are seen with.
        """
        stage, train = self.config.stages[name], self.data[name].train
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        # Fewer parts where some would have no row, or too few.
        count = max(1, min(stage.accumulate, len(rows) // max(processes, self.least_rows)))
        shared = shares(rows, processes * count)
        parts = []
        for part in shared[rank * count : (rank + 1) * count]:
            # A process without a row still has to take part: with a row that does not count.
            chosen = part or rows[:1]
            own = [train[i] for i in chosen]
            weights = tuple(row.weight if part else 0.0 for row in own)
            seeds = [f"{seed} {i}" for i in chosen]
            memory = self.memory(own, stage, seeds)
            # Of the numbers below 2 ** 63 the share `unread`.
            read = tuple(hash_of(one, "read") >= stage.unread * 2**63 for one in seeds)
            batch = self.led(self.batch(own, read), own, memory)
            parts.append(Part(memory, batch, weights, tuple(own), read))
        return parts

    # --- pictures ---

    def memory(
        self, rows: Sequence[TrainRow], stage: StageConfig, seeds: Sequence[str] | None = None
    ) -> Memory:
        """What the encoder sees of the rows' pictures. With ``seeds``, one a row, as a step needs it: changed
        where the stage says so, and pixels where the encoder is trained.
        """
        if self._cache is not None and self._keeps(stage):
            return self._cache.read([row.picture for row in rows])
        images = [open_picture(row.picture) for row in rows]
        if seeds is not None and stage.augment is not None:
            size = self.model.encoder.preprocessing.size
            images = [
                augment(image, stage.augment, seed, size=size)
                for image, seed in zip(images, seeds, strict=True)
            ]
        encodes = not self.trains_encoder or seeds is None
        return Seer(self.model.encoder, self.accelerator.device, encodes=encodes)(images)

    def moved(self, memory: Memory) -> Memory:
        """On the device."""
        device = self.accelerator.device
        if isinstance(memory, Tensor):
            return memory.to(device, non_blocking=True)
        return tuple(part.to(device, non_blocking=True) for part in memory)

    def _keeps(self, stage: StageConfig) -> bool:
        """Whether what the encoder sees in this stage may be kept: it is the same in every epoch."""
        return not self.trains_encoder and stage.augment is None and self.config.cache != "off"

    def see(self, names: Sequence[str]) -> float:
        """The frozen encoder's features of these stages' pictures, from the disk or seen now; the pictures
        that are seen anew in every epoch are opened once. So those that cannot be read are told before the
        first step of the first stage. Returns the seconds that making features took.

        Raises UnreadablePicturesError, and UserError when the features there are another encoder's.
        """

        def pictures(*, kept: bool) -> list[Path]:
            rows = [self.data[name] for name in names if self._keeps(self.config.stages[name]) == kept]
            return list(dict.fromkeys(row.picture for data in rows for row in data.every))

        accelerator = self.accelerator
        if accelerator.is_main_process:
            check_pictures(pictures(kept=False))
        wanted = pictures(kept=True)
        if not wanted:
            return 0.0
        encoder = self.model.encoder.eval()
        if self.config.cache == "auto":
            key = hash_of(str(encoder_identity(encoder)), self.config.cache_half)
            folder = _DEFAULT_CACHE / f"{self.config.system.name}-{key:016x}"
        else:
            folder = Path(self.config.cache)
        cache = FeatureCache(folder, encoder, half=self.config.cache_half)
        started = time.perf_counter()
        with accelerator.local_main_process_first():
            quiet = not accelerator.is_local_main_process
            cache.add(wanted, encoder, accelerator.device, self.pool, quiet=quiet)
        self._cache = cache
        return time.perf_counter() - started
