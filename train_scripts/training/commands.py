"""`python -m train_scripts train`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from train_scripts.terminal import one_sentence

__all__ = ["train_preset_command"]


def train_preset_command(
    config: Annotated[
        str | None,
        typer.Option(
            help="A YAML file, or the name of a recipe in train_scripts/configs.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Not given: runs/ and the config's name.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: key=value, for example stages.memes.epochs=3."),
    ] = None,
) -> None:
    """Train a captioner by a config. Under `accelerate launch` on many processes, GPUs and machines."""
    _start_missing_processes()
    from train_scripts.process import set_up_process  # noqa: PLC0415
    from train_scripts.training.config import load_config  # noqa: PLC0415
    from train_scripts.training.loop import Interrupted  # noqa: PLC0415
    from train_scripts.training.run import train  # noqa: PLC0415

    set_up_process()
    # accelerate reports the threads it chose for a process as a warning.
    warnings.filterwarnings("ignore", message="OMP_NUM_THREADS/MKL_NUM_THREADS unset")
    try:
        with one_sentence():
            if config is None:
                if not resume or out is None:
                    raise UserError(
                        "There is no config: give one with --config, or --resume a run with --out."
                    )
                config = str(out / "config.yaml")
            folder = out or Path("runs") / Path(config).stem
            model = train(load_config(config, overrides or ()), folder, resume=resume)
    except OSError as error:
        typer.echo(
            f"Error: {error.filename or 'A file'} cannot be written or read ({error.strerror or error}): "
            "mend that "
            "and go on with --resume.",
            err=True,
        )
        raise typer.Exit(1) from None
    except (Interrupted, KeyboardInterrupt):
        typer.echo("Stopped. Go on with the same command and --resume.", err=True)
        raise typer.Exit(130) from None
    if int(os.environ.get("RANK", "0")) == 0:
        typer.echo(f"The checkpoint is {model}, the report {folder / 'report.html'}.")
        typer.echo(
            f"Ask it: {PYTHON} -m inference caption PICTURE --models-dir {folder} --model {model.name}"
        )


def _start_missing_processes() -> None:
    """Without GPUs ``accelerate launch --num_processes 2`` starts one process and says nothing to it of two.

    It leaves that to MPI, which hardly anybody has: torch's own launcher takes its place.
    """
    if (
        "MASTER_PORT" not in os.environ
        or "WORLD_SIZE" in os.environ
        or "ACCELERATE_USE_CPU" not in os.environ
    ):
        return
    import psutil  # noqa: PLC0415 - only under a launcher

    parent = psutil.Process(os.getppid()).cmdline()
    if not any("accelerate" in part for part in parent):
        return
    count = _option(parent, "--num_processes") or _option(parent, "--num-processes")
    if count is None or int(count) < 2 or _option(parent, "--mpirun_hostfile") is not None:
        return
    # A port of its own: two runs on one machine must not meet.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", count]
    os.execv(sys.executable, [*launcher, "-m", "train_scripts", *sys.argv[1:]])  # noqa: S606 - our own arguments


def _option(words: list[str], name: str) -> str | None:
    for i, word in enumerate(words):
        if word == name and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None
