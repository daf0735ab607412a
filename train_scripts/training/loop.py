"""One loop for every preset: on one processor, one GPU, or many by ``accelerate launch``.

The rows of a step are the same however they are shared: ``batch`` rows on each of n processes, ``accumulate``
times, are one step's rows, and its loss is the mean over all their tokens.
"""

from __future__ import annotations

import hashlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast, gather_object
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from inference.caption_model import Batch, CaptionModel
from inference.encoders.base import Memory
from inference.presets import preset
from inference.types import DecodingOptions, TextLine
from train_scripts.metrics.evaluator import MEASURES, evaluate
from train_scripts.pictures import check_pictures, open_picture
from train_scripts.training.augment import augment
from train_scripts.training.building import build_model, start_from_checkpoint
from train_scripts.training.config import VAL_LOSS, StageConfig, TrainConfig
from train_scripts.training.data import TrainRow, batches_of, first_rows, read_lines, read_rows, shares
from train_scripts.training.errors import TrainingError
from train_scripts.training.features import FeatureCache, encoder_identity
from train_scripts.training.files import load_tensors, save_tensors
from train_scripts.training.objective import Objective, tokens_of
from train_scripts.training.optimising import ADAM8BIT, make_optimizer, make_schedule, synchronise
from train_scripts.training.saving import lineage_of, save_model
from train_scripts.training.seeing import Seer, ahead, pool_of
from train_scripts.training.state import Progress, RunFolder, frozen_digest, trained_state

__all__ = ["Interrupted", "Training", "accelerator_of"]

_GENERATED = 16  # pictures captioned together
_DEFAULT_CACHE = Path("runs/features")


class Interrupted(Exception):  # noqa: N818 - what happened, not what went wrong
    """The person stopped the run; its state is written."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """One process's part of a batch, ready for the objective."""

    memory: Memory
    batch: Batch
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What makes the steps of a stage."""

    objective: Any  # an Objective, wrapped by accelerate
    optimizer: Any  # of accelerate
    schedule: LRScheduler
    trained: list[torch.nn.Parameter]


@dataclass(frozen=True, slots=True)
class _Data:
    """What a stage learns from and is measured by."""

    train: list[TrainRow]
    val: list[TrainRow]


def accelerator_of(config: TrainConfig) -> Accelerator:
    """What shares the work; made once in a process."""
    return Accelerator(
        mixed_precision=_precision(config.mixed_precision),
        kwargs_handlers=[
            # One process fills the cache of features while the others wait.
            InitProcessGroupKwargs(timeout=timedelta(hours=12)),
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def _precision(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    # Where the processor only emulates 16 bits they are slower than 32.
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


class Training:
    """A run from its config to the model with the best metric.

    Raises TrainingError or UnreadablePicturesError, one sentence, for everything that a person can mend.
    """

    def __init__(self, config: TrainConfig, folder: Path, *, resume: bool, accelerator: Accelerator) -> None:
        self.config = config
        self.accelerator = accelerator
        self.main = accelerator.is_main_process
        self.device: torch.device = accelerator.device
        self.notes: list[str] = []
        self.folder = RunFolder(folder, config, resume=resume, processes=accelerator.num_processes)
        accelerator.wait_for_everyone()
        self.names = list(config.stages)
        self.data = self._read()
        self.lines = self._lines()
        self.options = DecodingOptions.from_dict(
            {**preset(config.preset).options().to_dict(), **config.decoding}
        )
        self.pool = pool_of(config.workers)
        self.model = self._model().to(self.device)
        if accelerator.num_processes > 1:
            synchronise(self.model.decoder)
            if self.device.type == "cuda":
                self.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self.trains_encoder = any(parameter.requires_grad for parameter in self.model.encoder.parameters())
        self.model.encoder.to(memory_format=torch.channels_last)
        for stage in config.stages.values():
            self._must_have_rows_enough(stage)
        self._frozen = frozen_digest(self.model)
        self.progress = Progress()
        state = self.folder.state() if resume else None
        if state is not None:
            self._must_fit(state)
        self._state = state
        if self.main and not resume:
            self.folder.begin(config)
        self._kept: FeatureCache | None = None  # of all stages that may keep features
        self._cache: FeatureCache | None = None  # of the stage
        self._features_seconds = 0.0  # that the epoch waited for them
        self._sentences: dict[TrainRow, Batch] = {}
        self._saved_at = time.monotonic()
        self._stopping = False
        self._board: SummaryWriter | None = None

    # --- what is trained on what ---

    def _read(self) -> dict[str, _Data]:
        found: dict[str, _Data] = {}
        sources: dict[tuple[str, str], list[TrainRow]] = {}
        for name, stage in self.config.stages.items():
            for source in stage.data:
                for split in ("train", "val"):
                    if (source, split) not in sources:
                        sources[source, split] = read_rows(self.config.sources[source], split)
            train = [row for source in stage.data for row in sources[source, "train"]]
            train = train[: stage.limit] if stage.limit else train
            if not train:
                raise TrainingError(
                    f"Stage {name} has no rows of the split train in {', '.join(stage.data)}: give it others."
                )
            val = [row for source in stage.data for row in sources[source, "val"]]
            found[name] = _Data(train, val)
            if not val and (stage.metric != VAL_LOSS or stage.patience):
                raise TrainingError(
                    f"Stage {name} is to stop by {stage.metric}, but its data have no rows of the split val: "
                    f"prepare the data with one, or leave stages.{name}.metric and patience out."
                )
            both = {row.picture.resolve() for row in train} & {row.picture.resolve() for row in val}
            if both:
                self.notes.append(
                    f"{len(both)} pictures of stage {name} are both in train and in val: its metrics say how "
                    "much is remembered, not how much is understood."
                )
        return found

    def _lines(self) -> dict[Path, tuple[TextLine, ...]] | None:
        """The lines read on each picture, for a model that is given them."""
        if self.config.words in {None, "none"} and self.config.start_from is None:
            return None
        found: dict[Path, tuple[TextLine, ...]] = {}
        for source, path in self.config.readings.items():
            if source not in self.config.sources:
                raise TrainingError(
                    f"readings names {source}, which is none of the sources: name it as there."
                )
            folder = self.config.sources[source]
            found |= {folder / name: lines for name, lines in read_lines(path).items()}
        if self.config.words not in {None, "none"}:
            rows = [row for data in self.data.values() for row in (*data.train, *data.val)]
            unread = next((row for row in rows if row.picture not in found), None)
            if unread is not None:
                raise TrainingError(
                    f"{unread.where}, names {unread.file_name}, which was never read: read the pictures with "
                    "'python -m train_scripts read' and name the file under readings."
                )
        return found

    def _lines_of(self, rows: Sequence[TrainRow]) -> list[tuple[TextLine, ...]] | None:
        return None if self.lines is None else [self.lines.get(row.picture, ()) for row in rows]

    def _model(self) -> CaptionModel:
        config = self.config
        if config.start_from is not None:
            return start_from_checkpoint(config.start_from)
        # A row that several stages learn from counts once for the vocabulary.
        rows = list({(r.where, r.text): r for data in self.data.values() for r in data.train}.values())
        pictures = list(dict.fromkeys(row.picture for row in rows))
        model, notes = build_model(config, [row.text for row in rows], self._lines_of(rows), pictures)
        self.notes += notes
        for stage in config.stages.values():
            if stage.optimizer.name == "adam8bit" and ADAM8BIT not in self.notes:
                self.notes.append(ADAM8BIT)
        return model

    def _must_have_rows_enough(self, stage: StageConfig) -> None:
        norms = any(isinstance(module, torch.nn.BatchNorm1d) for module in self.model.decoder.modules())
        if norms and stage.batch < 2 and self.accelerator.num_processes == 1:
            raise TrainingError(
                f"{self.config.preset} normalises over the rows of a batch: set batch to at least 2."
            )

    def _must_fit(self, state: Mapping[str, Any]) -> None:
        if state["frozen"] != self._frozen:
            raise TrainingError(
                f"The weights that {self.folder.path} was trained beside (of the encoder, or of the "
                "frozen language "
                "model) are not those there are now: restore the files, or start a new run."
            )

    # --- the run ---

    def run(self) -> CaptionModel:
        """All stages, from where an interrupted run stopped; the model is then the best of the last one."""
        for note in self.notes:
            self._say(note)
        if self._state is not None:
            self.progress = Progress(**self._state["progress"])
        if self.main:
            self.folder.keep_until(self.progress.steps, self.progress.epochs)
            self._board = SummaryWriter(
                str(self.folder.path / "tensorboard"), purge_step=self.progress.steps or None
            )
        try:
            if self._state is not None and self.progress.stage >= len(self.names):
                self._load(self._state["model"])
            self._see_pictures(self.names[self.progress.stage :])
            while self.progress.stage < len(self.names):
                self._stage(self.names[self.progress.stage])
        finally:
            self.pool.shutdown(cancel_futures=True)
            if self._board is not None:
                self._board.close()
        return self.model.eval()

    def _say(self, text: str) -> None:
        if self.main:
            tqdm.write(text)

    def _stage(self, name: str) -> None:
        stage, data, progress = self.config.stages[name], self.data[name], self.progress
        self._cache = self._kept if self._keeps(stage) else None
        per_epoch = len(self._batches(stage, data, 0))
        self.model.train()
        objective = Objective(self.model)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        plain = make_optimizer(stage.optimizer, trained)
        schedule = make_schedule(name, stage, plain, stage.epochs * per_epoch)
        if self._state is not None:
            self._load(self._state["model"])
        wrapped, optimizer = self.accelerator.prepare(objective, plain)
        parts = _Parts(wrapped, optimizer, schedule, trained)
        if self._state is not None and self._state["optimizer"] is not None:
            optimizer.load_state_dict(self._state["optimizer"])
            schedule.load_state_dict(self._state["schedule"])
            if self.accelerator.scaler is not None and self._state["scaler"]:
                self.accelerator.scaler.load_state_dict(self._state["scaler"])
        self._state = None
        self._keep = partial(self._save, optimizer=optimizer, schedule=schedule)
        with self._stoppable():
            while progress.epoch < stage.epochs and not self._enough(stage):
                self._epoch(name, stage, data, parts)
                if self._stopping:
                    self._stop()
        self._finish(name)
        # The next stage begins with an optimizer of its own.
        self.accelerator.free_memory(wrapped, optimizer)

    def _enough(self, stage: StageConfig) -> bool:
        return stage.patience is not None and self.progress.stale >= stage.patience

    def _batches(self, stage: StageConfig, data: _Data, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch, of all processes."""
        size = stage.batch * stage.accumulate * self.accelerator.num_processes
        seed = f"{self.config.seed} {self.progress.stage} {epoch} order"
        # In tokens, since a step takes as long as its longest sentence.
        lengths = [self._sentence(row).tokens.shape[1] for row in data.train]
        return batches_of(lengths, size, seed=seed, pairs=stage.pairs_per_epoch)

    def _epoch(self, name: str, stage: StageConfig, data: _Data, parts: _Parts) -> None:
        progress = self.progress
        batches = self._batches(stage, data, progress.epoch)
        started = time.perf_counter()
        self.model.train()
        rest = batches[progress.step :]
        tasks = [partial(self._prepare, stage, data, progress.epoch, rows) for rows in rest]
        bar = tqdm(
            ahead(self.pool, tasks, 2),
            desc=f"{name} {progress.epoch + 1}/{stage.epochs}",
            total=len(batches),
            initial=progress.step,
            mininterval=1,
            delay=1,  # an epoch of a second needs no bar
            leave=False,
            disable=not self.main,
        )
        with bar:  # ends its line before whatever stops the epoch is told
            for own in bar:
                row = self._step(own, stage, parts)
                progress.step += 1
                progress.steps += 1
                progress.loss += row["loss"]
                bar.set_postfix(loss=f"{progress.loss / progress.step:.3f}", refresh=False)
                if self.main:
                    self.folder.record(
                        "steps.jsonl",
                        {"stage": name, "epoch": progress.epoch + 1, "step": progress.steps, **row},
                    )
                    self._show({f"train/{key}": value for key, value in row.items()})
                if self._stopping:
                    if progress.step == len(batches):
                        break
                    self._stop()
                if self._is_due():
                    self._keep()
        trained_for = time.perf_counter() - started
        measured = self._measure(stage, data)
        loss = progress.loss / max(progress.step, 1)
        progress.epoch += 1
        progress.step, progress.loss = 0, 0.0
        progress.epochs += 1
        self._compare(stage, measured)
        if self.main:
            told: dict[str, Any] = {
                "stage": name,
                "epoch": progress.epoch,
                "step": progress.steps,
                "loss": loss,
            }
            seconds = {
                "seconds": trained_for,
                "seconds_features": self._features_seconds,
                "seconds_measuring": time.perf_counter() - started - trained_for,
            }
            self.folder.record("epochs.jsonl", {**told, **measured, **seconds})
            self._features_seconds = 0.0
            self._show({f"val/{key}": value for key, value in measured.items()})
            shown = ", ".join(f"{key} {value:.4f}" for key, value in {"loss": loss, **measured}.items())
            self._say(f"{name}, epoch {progress.epoch}: {shown}, {trained_for:.1f} s")
        if stage.checkpoint_every and progress.epoch % stage.checkpoint_every == 0:
            if self.main:
                self.export(self.folder.path / "checkpoints" / f"{name}-{progress.epoch:03d}")
            self._keep()
        elif self._is_due():
            self._keep()

    def _prepare(self, stage: StageConfig, data: _Data, epoch: int, rows: list[int]) -> list[_Rows]:
        """This process's rows of a step, in as many parts as are accumulated; in a thread."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        parts = shares(rows, processes * stage.accumulate)
        prepared = []
        for part in parts[rank * stage.accumulate : (rank + 1) * stage.accumulate]:
            # A process without a row still has to take part: with a row that does not count.
            chosen = part or rows[:1]
            own = [data.train[i] for i in chosen]
            weights = tuple(row.weight if part else 0.0 for row in own)
            seeds = [f"{self.config.seed} {self.progress.stage} {epoch} {i}" for i in chosen]
            memory = self._memory(own, stage, seeds)
            prepared.append(_Rows(memory, self._batch(own), weights))
        return prepared

    def _sentence(self, row: TrainRow) -> Batch:
        """Cut into tokens once in a run: that is a seventh of a step over kept features."""
        if row not in self._sentences:
            self._sentences[row] = self.model.batch([row.text], self._lines_of([row]))
        return self._sentences[row]

    def _batch(self, rows: Sequence[TrainRow]) -> Batch:
        return Batch.together([self._sentence(row) for row in rows], self.model.special.pad)

    def _memory(self, rows: Sequence[TrainRow], stage: StageConfig, seeds: Sequence[str] | None) -> Memory:
        """What the encoder sees of the rows' pictures; pixels where it is trained. ``seeds``: of changes."""
        if self._cache is not None:
            return self._cache.read([row.picture for row in rows])
        images = [open_picture(row.picture) for row in rows]
        if seeds is not None and stage.augment is not None:
            size = self.model.encoder.preprocessing.size
            images = [
                augment(image, stage.augment, seed, size=size)
                for image, seed in zip(images, seeds, strict=True)
            ]
        encodes = not self.trains_encoder or seeds is None
        return Seer(self.model.encoder, self.device, encodes=encodes)(images)

    def _step(self, rows: list[_Rows], stage: StageConfig, parts: _Parts) -> dict[str, float]:
        accelerator, progress = self.accelerator, self.progress
        # Every step has chances of its own: a run that goes on needs no memory of those before.
        torch.manual_seed(
            hash_of(
                self.config.seed, progress.stage, progress.epoch, progress.step, accelerator.process_index
            )
        )
        counted = sum(float((tokens_of(part.batch) * torch.tensor(part.weights)).sum()) for part in rows)
        shared = accelerator.reduce(
            torch.tensor([counted, float(self._stopping)], dtype=torch.float64, device=self.device),
            "sum",
        )
        self._stopping = bool(shared[1] > 0)  # all stop at the same step
        total = max(float(shared[0]), 1e-12)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        for i, part in enumerate(rows):
            last = i == len(rows) - 1
            with nullcontext() if last else accelerator.no_sync(parts.objective):
                summed = parts.objective(
                    self._moved(part.memory), part.batch.to(self.device), part.weights, stage.teacher_forcing
                )
                # Data-parallel training takes the mean over processes; the total is of all of them.
                accelerator.backward(summed * accelerator.num_processes / total)
            loss += summed.detach().to(loss.device, torch.float64)
        summed_loss = float(accelerator.reduce(loss, "sum"))
        rate = float(parts.schedule.get_last_lr()[0])
        row: dict[str, float] = {"loss": summed_loss / total, "rate": rate}
        if not math.isfinite(summed_loss):
            raise TrainingError(
                f"The loss became {summed_loss} at step {progress.steps + 1}: lower the rate of the "
                "optimizer or set clip, and start a new run."
            )
        if stage.clip is not None:
            accelerator.unscale_gradients()
            norm = get_total_norm([one.grad for one in parts.trained if one.grad is not None])
            row["norm"] = float(norm)
            if row["norm"] > stage.clip:  # torch's own clipping also multiplies by 1
                clip_grads_with_norm_(parts.trained, stage.clip, norm)
        parts.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            parts.schedule.step()
        parts.optimizer.zero_grad()
        return row

    def _moved(self, memory: Memory) -> Memory:
        if isinstance(memory, Tensor):
            return memory.to(self.device, non_blocking=True)
        return tuple(part.to(self.device, non_blocking=True) for part in memory)

    # --- the features ---

    def _keeps(self, stage: StageConfig) -> bool:
        """Whether what the encoder sees in this stage may be kept: it is the same in every epoch."""
        return not self.trains_encoder and stage.augment is None and self.config.cache != "off"

    def _see_pictures(self, names: Sequence[str]) -> None:
        """The frozen encoder's features of these stages' pictures, from the disk or seen now; the pictures
        that are seen anew in every epoch are opened once. So those that cannot be read are told before the
        first step of the first stage.
        """

        def pictures(*, kept: bool) -> list[Path]:
            rows = [self.data[name] for name in names if self._keeps(self.config.stages[name]) == kept]
            return list(dict.fromkeys(row.picture for data in rows for row in (*data.train, *data.val)))

        if self.main:
            check_pictures(pictures(kept=False))
        wanted = pictures(kept=True)
        if not wanted:
            return
        encoder = self.model.encoder.eval()
        if self.config.cache == "auto":
            key = hash_of(str(encoder_identity(encoder)), self.config.cache_half)
            folder = _DEFAULT_CACHE / f"{self.config.preset}-{key:016x}"
        else:
            folder = Path(self.config.cache)
        cache = FeatureCache(folder, encoder, half=self.config.cache_half)
        started = time.perf_counter()
        with self.accelerator.local_main_process_first():
            quiet = not self.accelerator.is_local_main_process
            cache.add(wanted, encoder, self.device, self.pool, quiet=quiet)
        self._kept = cache
        self._features_seconds = time.perf_counter() - started

    # --- measuring ---

    def _measure(self, stage: StageConfig, data: _Data) -> dict[str, float]:
        """The loss on val, and the stage's metric of the captions where it is another."""
        due = (self.progress.epoch + 1) % stage.validate_every == 0 or self.progress.epoch + 1 == stage.epochs
        if not data.val or not due:
            return {}
        self.model.eval()
        found = {VAL_LOSS: self._val_loss(stage, data.val)}
        if stage.metric != VAL_LOSS:
            rows = first_rows(data.val)
            rows = rows[: stage.validate_pictures] if stage.validate_pictures else rows
            captions = self.captions(rows, stage)
            references: dict[str, list[str]] = {str(row.picture): [] for row in rows}
            for row in data.val:
                if str(row.picture) in references:
                    references[str(row.picture)].append(row.text)
            found[stage.metric] = evaluate(captions, references, resamples=1)[stage.metric]
        self.model.train()
        return found

    def _val_loss(self, stage: StageConfig, rows: Sequence[TrainRow]) -> float:
        accelerator = self.accelerator
        own = list(rows[accelerator.process_index :: accelerator.num_processes])
        own.sort(key=lambda row: len(row.text))
        groups = [own[i : i + stage.batch] for i in range(0, len(own), stage.batch)]
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        objective = Objective(self.model)
        with torch.no_grad(), accelerator.autocast():
            for group in groups:
                batch = self._batch(group).to(self.device)
                memory = self._moved(self._memory(group, stage, None))
                sums[0] += objective(memory, batch, (1.0,) * len(group)).double()
                sums[1] += tokens_of(batch).sum()
        total = accelerator.reduce(sums, "sum")
        return float(total[0] / total[1])

    def captions(self, rows: Sequence[TrainRow], stage: StageConfig | None = None) -> dict[str, str]:
        """What the model says of the rows' pictures, by path."""
        stage = stage or self.config.stages[self.names[-1]]
        accelerator = self.accelerator
        self.model.eval()
        own = list(rows[accelerator.process_index :: accelerator.num_processes])
        said: list[tuple[str, str]] = []
        torch.manual_seed(self.config.seed)  # of a preset that samples
        with torch.inference_mode():
            for start in range(0, len(own), _GENERATED):
                group = own[start : start + _GENERATED]
                memory = self._moved(self._memory(group, stage, None))
                texts, _ = self.model.describe_memory(memory, self._lines_of(group), self.options)
                said += [(str(row.picture), text) for row, text in zip(group, texts, strict=True)]
        if accelerator.num_processes > 1:
            said = gather_object(said)
        return dict(said)

    def _compare(self, stage: StageConfig, measured: Mapping[str, float]) -> None:
        """Keeps the weights when the metric is the best so far."""
        if stage.metric not in measured:
            return
        value, progress = measured[stage.metric], self.progress
        better = next((m.better for m in MEASURES if m.key == stage.metric), "lower")
        sign = 1 if better == "higher" else -1
        if progress.best is None or sign * value > sign * progress.best:
            progress.best, progress.best_epoch, progress.stale = value, progress.epoch, 0
            if self.main:
                save_tensors(
                    self.folder.best_file, {"model": trained_state(self.model), "stage": progress.stage}
                )
        else:
            progress.stale += 1

    def _show(self, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(key, value, self.progress.steps)

    # --- the state ---

    def _is_due(self) -> bool:
        steps = self.config.save_steps
        if steps and self.progress.steps % steps == 0:
            return True
        return time.monotonic() - self._saved_at > 60 * self.config.save_minutes

    def _save(self, *, optimizer: Any = None, schedule: Any = None) -> None:
        self._saved_at = time.monotonic()
        if not self.main:
            return
        scaler = self.accelerator.scaler
        save_tensors(
            self.folder.state_file,
            {
                "progress": asdict(self.progress),
                "model": trained_state(self.model),
                "optimizer": optimizer.state_dict() if optimizer is not None else None,
                "schedule": schedule.state_dict() if schedule is not None else None,
                "scaler": scaler.state_dict() if scaler is not None else {},
                "frozen": self._frozen,
                "processes": self.accelerator.num_processes,
            },
        )

    def _load(self, state: Mapping[str, Tensor]) -> None:
        own = trained_state(self.model)
        if own.keys() != state.keys() or any(own[key].shape != state[key].shape for key in own):
            raise TrainingError(
                f"The state in {self.folder.path} is of another model than the data give now (its "
                "vocabulary is "
                "made from them): restore the data, or start a new run."
            )
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(state[key])

    def _finish(self, name: str) -> None:
        """The stage's best weights, and a state behind it."""
        progress = self.progress
        if progress.best is not None:
            if self.main:
                self._load(load_tensors(self.folder.best_file)["model"])
            if self.accelerator.num_processes > 1:
                for tensor in trained_state(self.model).values():
                    tensor.copy_(broadcast(tensor.detach().clone()))
        stage = self.config.stages[name]
        progress.finished.append(
            {
                "stage": name,
                "epochs": progress.epoch,
                "metric": stage.metric,
                "best": progress.best,
                "best_epoch": progress.best_epoch or progress.epoch,
                "stopped_early": progress.epoch < stage.epochs,
            }
        )
        progress.stage += 1
        progress.epoch = progress.step = progress.best_epoch = progress.stale = 0
        progress.loss, progress.best = 0.0, None
        self._save()

    def _stop(self) -> None:
        self._keep()
        raise Interrupted

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Ctrl+C and SIGTERM end the run after the step that is being made; a second Ctrl+C at once."""

        def heard(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
            self._say("Stopping after this step...")

        former = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def export(self, folder: Path, scores: Mapping[str, Any] | None = None) -> None:
        """The model as it is now, as a checkpoint that `python -m inference` runs."""
        save_model(
            folder,
            self.model,
            self.config,
            self.options,
            lineage=lineage_of(self.config, {name: data.train for name, data in self.data.items()}),
            stages=self.progress.finished,
            notes=self.notes,
            scores=scores or {},
        )

    _keep: Callable[[], None]


def hash_of(*parts: object) -> int:
    """63 bits, the same in every process."""

    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
