"""A run's checkpoint in the place of the model that serves, at one stroke, and back."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.checkpoints.format import read_config
from inference.checkpoints.models import checkpoint_hash, model_info
from inference.checkpoints.names import CheckpointFolder, ModelName
from inference.common.errors import UserError
from inference.common.file_names import is_plain
from inference.common.interpreter import PYTHON
from inference.common.locks import locked
from inference.common.types import UnknownModel
from train_scripts.feedback.judge import worse
from train_scripts.feedback.run import CHECKPOINT, COMPARISON
from train_scripts.training.run import MODEL_FOLDER

PREVIOUS = ".previous"  # behind the name of the model that was replaced
_STAGING = ".promoting"  # a folder in which models are not looked for


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was done. ``previous``: the hash of the model that served before; None: there was none.
    ``despite``: why it would have been refused without --force.
    """

    name: str
    models_dir: Path
    checkpoint: str
    previous: str | None
    despite: str | None

    def __str__(self) -> str:
        text = f"{self.name} is now {self.checkpoint[:12]}."
        if self.previous is not None:
            text = (
                f"{self.name} is now {self.checkpoint[:12]}; what it was ({self.previous[:12]}) is kept as "
                f"{self.name}{PREVIOUS}. Back: {PYTHON} -m train_scripts promote --rollback "
                f"--name {self.name} --models-dir {self.models_dir}"
            )
        return f"Forced, although: {self.despite}\n{text}" if self.despite else text


def promote(run: Path, name: str, models_dir: Path, *, force: bool = False) -> Promotion:
    """Puts the checkpoint of ``run`` under ``name``; whoever reads the folder sees one or the other, whole.

    ``run``: what `finetune` or `train` wrote, or a checkpoint's folder. A model that is not there yet is
    simply added.

    Raises UserError: it was found worse than the model in whose place it would stand, or was compared
    with another one or none (``force`` overrides these), the name is none, or a file cannot be written.
    EngineError: the checkpoint is damaged.
    """
    inside = (run / name for name in (CHECKPOINT, MODEL_FOLDER) if (run / name).is_dir())
    folder = next(inside, run)
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {run}: give that of a run of finetune or train, or a checkpoint."
        )
    read_config(folder)
    info = model_info(folder.parent, ModelName(CheckpointFolder(folder.name)))
    if not is_plain(name) or name.startswith("."):
        raise UserError(f"{name!r} is no name for a model: give that of a folder in {models_dir}.")
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        # Whoever waited meets what the one before has made of it.
        with locked(models_dir, wait=True):
            return _promote(run, folder, info.checkpoint, name, models_dir, force=force)
    except OSError as error:
        raise UserError(
            f"{name} was left as it was, since {models_dir} cannot be written ({_why(error)}): make room "
            "there, or check its permissions."
        ) from error


def _why(error: OSError) -> str:
    """What the system said; of a whole folder's files that were not copied, of the first."""
    return str(error.args[0][0][-1] if isinstance(error, shutil.Error) else error)


def rollback(name: str, models_dir: Path) -> Promotion:
    """Exchanges a model with the one it replaced, so that a second rollback takes the first one back.

    Raises UserError when there is none.
    """
    before = f"{name}{PREVIOUS}"
    try:
        with locked(models_dir, wait=True):
            was, now = _hash(models_dir, name), _hash(models_dir, before)
            _exchange(models_dir / name, models_dir / before)
    except UnknownModel:
        raise UserError(
            f"There is nothing to go back to: {models_dir} does not hold both {name} and {before}."
        ) from None
    except OSError as error:
        raise UserError(f"{name} was left as it was ({error}): check {models_dir}.") from error
    return Promotion(name, models_dir, now, was, None)


def _hash(models_dir: Path, name: str) -> str:
    """Of the checkpoint in the folder of that name, whatever else the text could mean as a model's name."""
    return checkpoint_hash(models_dir, ModelName(CheckpointFolder(name)))


def _promote(
    run: Path, folder: Path, checkpoint: str, name: str, models_dir: Path, *, force: bool
) -> Promotion:
    try:
        previous: str | None = _hash(models_dir, name)
    except UnknownModel:
        previous = None
    if previous == checkpoint:
        raise UserError(f"{name} is this checkpoint already: there is nothing to do.")
    reason = None if previous is None else _objection(run, checkpoint, name, previous)
    if reason is not None and not force:
        raise UserError(f"{reason} To promote it all the same, add --force.")
    _put(folder, models_dir, name, exchange=previous is not None)
    return Promotion(name, models_dir, checkpoint, previous, reason)


def _objection(run: Path, checkpoint: str, name: str, serving: str) -> str | None:
    """Why this checkpoint should not replace the serving one; None: nothing is against it."""
    path = run / COMPARISON
    try:
        comparison: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        parent, compared = str(comparison["parent"]), str(comparison["checkpoint"])
        reasons = worse(comparison["val"]["scores"], str(comparison["measure"]))
    except FileNotFoundError:
        return f"{run} holds no comparison with {name} ({COMPARISON}): only a run of finetune has one."
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}): fine-tune again.") from None
    if compared != checkpoint:
        return f"The weights in {run} are not those that were compared: fine-tune again."
    if parent != serving:
        return (
            f"{run} was made from another model's checkpoint ({parent[:12]}) and compared with that, but "
            f"{name} is {serving[:12]}: fine-tune again with --model {name}."
        )
    if reasons:
        return f"It is worse than {name} on val beyond chance, in: {', '.join(reasons)}."
    return None


def _put(folder: Path, models_dir: Path, name: str, *, exchange: bool) -> None:
    staging = models_dir / _STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a promotion that was killed
    new, target = staging / name, models_dir / name
    try:
        staging.mkdir(parents=True)
        shutil.copytree(folder, new)
        for path in (*(path for path in new.rglob("*") if path.is_file()), new):
            _sync(path)
        if exchange:
            _exchange(new, target)
            before = models_dir / f"{name}{PREVIOUS}"
            if before.exists():
                before.rename(staging / "older")
            new.rename(before)
        else:
            if target.exists():  # a folder that is no model: what a killed copy left, or somebody's own
                raise FileExistsError(f"{target} exists and is no whole checkpoint; move it away")
            new.rename(target)
        _sync(models_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _sync(path: Path) -> None:
    """To the disk: a power cut must not leave a name with half a file behind it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Each gets the other's name, in one step where the system can do that.

    Elsewhere in two: for a moment the second name is missing, and is put back when that fails.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
            return
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        swap = 2  # RENAME_SWAP
        if libc.renamex_np(os.fsencode(one), os.fsencode(other), swap) == 0:
            return
    # The file system cannot (or nothing can: then the first of these says why).
    aside = one.with_name(f".{one.name}.aside")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)
