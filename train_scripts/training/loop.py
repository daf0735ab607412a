"""One loop for every preset: on one processor, one GPU, or many by ``accelerate launch``.

The rows of a step are the same however they are shared: ``batch`` rows on each of n processes, ``accumulate``
times, are one step's rows, and its loss is the mean over all their tokens.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast,
    parse_flag_from_env,
)
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from train_scripts.metrics.evaluator import MEASURES
from train_scripts.training.board import Board
from train_scripts.training.building import build_model, start_from_checkpoint
from train_scripts.training.config import REWARD, VAL_LOSS, StageConfig, TrainConfig
from train_scripts.training.data import TrainRow, hash_of
from train_scripts.training.detecting import CANNOT, apart, can_detect, detectors_of, vectors_of
from train_scripts.training.files import load_tensors, save_tensors
from train_scripts.training.inputs import (
    Inputs,
    Part,
    Readings,
    least_rows,
    read_stage,
    readings_of,
    stage_readings,
)
from train_scripts.training.measuring import captions, measure
from train_scripts.training.objective import Objective, tokens_of
from train_scripts.training.optimising import ADAM8BIT, make_optimizer, make_schedule, synchronise
from train_scripts.training.saving import lineage_of, save_model
from train_scripts.training.seeing import ahead, pool_of
from train_scripts.training.self_critical import can_be_rewarded, sampled
from train_scripts.training.state import CURVES, Progress, RunFolder, frozen_digest, trained_state

__all__ = ["Interrupted", "Training", "accelerator_of"]


class Interrupted(Exception):  # noqa: N818 - what happened, not what went wrong
    """The person stopped the run; its state is written."""


@dataclass(frozen=True, slots=True)
class _Tools:
    """What makes the steps of a stage."""

    objective: Any  # an Objective, wrapped by accelerate
    optimizer: Any  # of accelerate
    schedule: LRScheduler
    trained: list[torch.nn.Parameter]


def accelerator_of(config: TrainConfig) -> Accelerator:
    """What shares the work; made once in a process. Raises UserError for 16 bits where there are none."""
    return Accelerator(
        mixed_precision=_precision(config.mixed_precision),
        kwargs_handlers=[
            # One process fills the cache of features while the others wait.
            InitProcessGroupKwargs(timeout=timedelta(hours=12)),
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def _precision(wanted: str) -> str:
    """What the machine really computes in. On processors always 32 bits: torch's LSTM has no backward pass in
    bf16 there, autocast ignores fp16, and what a run gives must not depend on the kind of processor.
    """
    # As accelerate decides whether it takes the GPU.
    on_gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    if wanted == "auto":
        return "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "no"
    if wanted != "no" and not on_gpu:
        raise UserError(
            f"mixed_precision={wanted} needs a GPU (CUDA), and this run would be on the processor: set "
            "mixed_precision to no, or to auto, which takes 16 bits where they work."
        )
    if wanted == "bf16" and not torch.cuda.is_bf16_supported():
        raise UserError("This GPU has no bf16: set mixed_precision to fp16, no or auto.")
    return wanted


class Training:
    """A run from its config to the model with the best metric.

    Raises UserError or UnreadablePicturesError, one sentence, for everything that a person can mend.
    """

    def __init__(self, config: TrainConfig, folder: Path, *, resume: bool, accelerator: Accelerator) -> None:
        self.config = config
        self.accelerator = accelerator
        self.main = accelerator.is_main_process
        self.device: torch.device = accelerator.device
        self.folder = RunFolder(folder, config, resume=resume, processes=accelerator.num_processes)
        accelerator.wait_for_everyone()
        self.names = list(config.stages)
        self.data = {name: read_stage(config, name) for name in self.names}
        self.notes = [note for name in self.names for note in self.data[name].notes(name)]
        readings = stage_readings(config, self.data)
        self.options = DecodingOptions.from_dict({**config.system.options.to_dict(), **config.decoding})
        self.model = self._model(readings).to(self.device)
        if accelerator.num_processes > 1:
            synchronise(self.model.decoder)
            if self.device.type == "cuda":
                self.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.encoder.to(memory_format=torch.channels_last)
        for name in self.names:
            self._must_have_rows_enough(name)
            if config.stages[name].reward is not None and not can_be_rewarded(self.model):
                raise UserError(
                    f"{config.preset} has a loss of its own, or several ends of a sentence: leave "
                    f"stages.{name}.reward out."
                )
        if config.detectors is not None and not can_detect(self.model):
            raise UserError(CANNOT)
        self._frozen = frozen_digest(self.model)
        self.progress = Progress()
        state = self.folder.state() if resume else None
        if state is not None:
            self._must_fit(state)
        self._state = state
        if self.main and not resume:
            self.folder.begin(config)
        self.pool = pool_of(config.workers)
        self.inputs = Inputs(
            config, self.data, self.model, readings=readings, accelerator=accelerator, pool=self.pool
        )
        self._features_seconds = 0.0  # that the epoch waited for them
        self._saved_at = time.monotonic()
        self._stopping = False
        self._board: Board | None = None

    # --- what is trained on what ---

    def _model(self, readings: Readings | None) -> CaptionModel:
        config = self.config
        if config.start_from is not None:
            return start_from_checkpoint(config.start_from)
        # A row that several stages learn from counts once for the vocabulary.
        rows = list({(r.where, r.text): r for data in self.data.values() for r in data.train}.values())
        pictures = list(dict.fromkeys(row.picture for row in rows))
        model, notes = build_model(config, [row.text for row in rows], readings_of(readings, rows), pictures)
        self.notes += notes
        for stage in config.stages.values():
            if stage.optimizer.name == "adam8bit" and ADAM8BIT not in self.notes:
                self.notes.append(ADAM8BIT)
        return model

    def _must_have_rows_enough(self, name: str) -> None:
        stage, least = self.config.stages[name], least_rows(self.model)
        if stage.batch < least and self.accelerator.num_processes == 1:
            raise UserError(
                f"{self.config.preset} normalises over the rows of a batch: set batch to at least {least}."
            )
        rows = min(len(self.data[name].train), stage.pairs_per_epoch or least)
        if rows < least:
            raise UserError(
                f"{self.config.preset} normalises over the rows of a batch, but stage {name} has only "
                f"{rows}: give it more rows, or set decoder.batchnorm to false."
            )

    def _must_fit(self, state: Mapping[str, Any]) -> None:
        if state["frozen"] != self._frozen:
            raise UserError(
                f"The weights that {self.folder.path} was trained beside (of the encoder, or of the frozen "
                "language model) are not those there are now: restore the files, or start a new run."
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
            self._board = Board(self.folder.path / CURVES, purge_step=self.progress.steps or None)
        try:
            self._features_seconds = self.inputs.see(self._seen())
            if self._state is not None and self.progress.stage >= len(self.names):
                self._lead()
                self._load(self._state["model"])
            while self.progress.stage < len(self.names):
                self._stage(self.names[self.progress.stage])
            if self._board is not None:
                self._board.close()
        finally:
            self.pool.shutdown(cancel_futures=True)
            if self._board is not None:
                with suppress(UserError):  # what stopped the run is to be told
                    self._board.close()
        return self.model.eval()

    def detect(self) -> None:
        """Fits the detectors that the config asks for in the end to what the last stage learned from."""
        wanted = self.config.detectors
        if wanted is not None and wanted.before is None:
            self.model.detect_with(detectors_of(self.inputs, self.names[-1], wanted))

    def _lead(self) -> None:
        """Fits the detectors with which the decoder learns in this stage, if they are not there yet."""
        wanted = self.config.detectors
        if wanted is None or wanted.before is None or self.inputs.apart:
            return
        if self.progress.stage >= self.names.index(wanted.before):
            self.model.detect_with(detectors_of(self.inputs, wanted.before, wanted))
            rows = self.data[wanted.before].train
            self.inputs.apart = apart(vectors_of(self.inputs, wanted.before), rows, wanted)

    def _seen(self) -> list[str]:
        """The stages whose pictures are still looked at."""
        left = self.names[self.progress.stage :]
        before = None if self.config.detectors is None else self.config.detectors.before
        return left if before is None or before in left else [before, *left]

    def _say(self, text: str) -> None:
        if self.main:
            tqdm.write(text)

    def _stage(self, name: str) -> None:
        stage, progress = self.config.stages[name], self.progress
        self._lead()
        per_epoch = len(self.inputs.steps(name, self._seed(0)))
        self.model.train()
        objective = Objective(self.model)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        plain = make_optimizer(stage.optimizer, trained)
        schedule = make_schedule(name, stage, plain, stage.epochs * per_epoch)
        if self._state is not None:
            self._load(self._state["model"])
        wrapped, optimizer = self.accelerator.prepare(objective, plain)
        tools = _Tools(wrapped, optimizer, schedule, trained)
        if self._state is not None and self._state["optimizer"] is not None:
            optimizer.load_state_dict(self._state["optimizer"])
            schedule.load_state_dict(self._state["schedule"])
            if self.accelerator.scaler is not None and self._state["scaler"]:
                self.accelerator.scaler.load_state_dict(self._state["scaler"])
        self._state = None
        self._keep = partial(self._save, optimizer=optimizer, schedule=schedule)
        with self._stoppable():
            while progress.epoch < stage.epochs and not self._enough(stage):
                self._epoch(name, stage, tools)
                if self._stopping:
                    self._stop()
        self._finish(name)
        # The next stage begins with an optimizer of its own.
        self.accelerator.free_memory(wrapped, optimizer)

    def _enough(self, stage: StageConfig) -> bool:
        return stage.patience is not None and self.progress.stale >= stage.patience

    def _seed(self, epoch: int) -> str:
        """Of everything drawn in an epoch of this stage, by itself: a run that goes on needs no memory."""
        return f"{self.config.seed} {self.progress.stage} {epoch}"

    def _epoch(self, name: str, stage: StageConfig, tools: _Tools) -> None:
        progress = self.progress
        seed = self._seed(progress.epoch)
        batches = self.inputs.steps(name, seed)
        started = time.perf_counter()
        self.model.train()
        rest = batches[progress.step :]
        tasks = [partial(self.inputs.parts, name, rows, seed) for rows in rest]
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
                row = self._step(name, own, tools)
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
        measured = self._measure(name, stage)
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

    def _step(self, name: str, rows: list[Part], tools: _Tools) -> dict[str, float]:
        accelerator, progress, stage = self.accelerator, self.progress, self.config.stages[name]
        # Every step has chances of its own: a run that goes on needs no memory of those before.
        torch.manual_seed(
            hash_of(
                self.config.seed, progress.stage, progress.epoch, progress.step, accelerator.process_index
            )
        )
        worth: list[float] = []
        rewards, reward = self.inputs.rewards(name), stage.reward
        if rewards is not None and reward is not None:
            seed = f"{self._seed(progress.epoch)} {progress.step} {accelerator.process_index}"
            drawn = [
                sampled(part, self.inputs, rewards, reward, options=self.options, seed=f"{seed} {i}")
                for i, part in enumerate(rows)
            ]
            rows, worth = [part for parts, _ in drawn for part in parts], [mean for _, mean in drawn]
        # A caption that is to become less likely weighs as much as one that is to become likelier.
        counted = sum(
            float((tokens_of(part.batch) * torch.tensor(part.weights).abs()).sum()) for part in rows
        )
        shared = accelerator.reduce(
            torch.tensor([counted, float(self._stopping)], dtype=torch.float64, device=self.device),
            "sum",
        )
        self._stopping = bool(shared[1] > 0)  # all stop at the same step
        total = max(float(shared[0]), 1e-12)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        for i, part in enumerate(rows):
            last = i == len(rows) - 1
            with nullcontext() if last else accelerator.no_sync(tools.objective):
                summed = tools.objective(
                    self.inputs.moved(part.memory),
                    part.batch.to(self.device),
                    part.weights,
                    stage.teacher_forcing,
                )
                # Data-parallel training takes the mean over processes; the total is of all of them.
                accelerator.backward(summed * accelerator.num_processes / total)
            loss += summed.detach().to(loss.device, torch.float64)
        summed_loss = float(accelerator.reduce(loss, "sum"))
        rate = float(tools.schedule.get_last_lr()[0])
        row: dict[str, float] = {"loss": summed_loss / total, "rate": rate}
        if worth:
            row["reward"] = sum(worth) / len(worth)
        if not math.isfinite(summed_loss):
            raise UserError(
                f"The loss became {summed_loss} at step {progress.steps + 1}: lower the rate of the "
                "optimizer or set clip, and start a new run."
            )
        if stage.clip is not None:
            accelerator.unscale_gradients()
            norm = get_total_norm([one.grad for one in tools.trained if one.grad is not None])
            row["norm"] = float(norm)
            if row["norm"] > stage.clip:  # torch's own clipping also multiplies by 1
                clip_grads_with_norm_(tools.trained, stage.clip, norm)
        tools.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            tools.schedule.step()
        tools.optimizer.zero_grad()
        return row

    # --- measuring ---

    def _measure(self, name: str, stage: StageConfig) -> dict[str, float]:
        rows, epoch = self.data[name].choosing, self.progress.epoch + 1
        if not rows or (epoch % stage.validate_every and epoch != stage.epochs):
            return {}
        return measure(self.inputs, name, rows, self.options)

    def captions(self, rows: Sequence[TrainRow], *, told: bool = True) -> dict[str, str]:
        """What the model says of the rows' pictures, by path, seen as in the last stage; ``told``: whether it
        is told what was read on them."""
        return captions(self.inputs, self.config.stages[self.names[-1]], rows, self.options, told=told)

    def _compare(self, stage: StageConfig, measured: Mapping[str, float]) -> None:
        """Keeps the weights when the metric is the best so far."""
        if stage.metric not in measured:
            return
        value, progress = measured[stage.metric], self.progress
        better = {VAL_LOSS: "lower", REWARD: "higher", **{m.key: m.better for m in MEASURES}}
        sign = 1 if better[stage.metric] == "higher" else -1
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
            self._board.show(values, self.progress.steps)

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
            raise UserError(
                f"The state in {self.folder.path} is of another model than the data give now (its vocabulary "
                "is made from them): restore the data, or start a new run."
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

    def export(
        self,
        folder: Path,
        scores: Mapping[str, Any] | None = None,
        *,
        without_words: Mapping[str, Any] | None = None,
    ) -> None:
        """The model as it is now, as a checkpoint that `python -m inference` runs."""
        save_model(
            folder,
            self.model,
            self.config,
            self.options,
            precision=self.accelerator.mixed_precision,
            lineage=lineage_of(self.config, {name: data.train for name, data in self.data.items()}),
            stages=self.progress.finished,
            notes=self.notes,
            scores=scores or {},
            without_words=without_words or {},
        )

    _keep: Callable[[], None]
