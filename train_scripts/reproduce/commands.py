"""`python -m train_scripts reproduce`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from train_scripts.terminal import console, one_sentence

__all__ = ["reproduce_command"]


def reproduce_command(
    name: Annotated[str, typer.Argument(help="resnet50-lstm, resnet101-lstm-navec, clipcap-mlp or rudolph.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the steps, their sizes and what is missing.")
    ] = False,
    data: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of archives and data sets, shared by all.")
    ] = Path("data/reproduce"),
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder of the run. Not given: runs/reproduce/NAME."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of the recipe, as of 'train': stages.photos=null."),
    ] = None,
    addresses: Annotated[
        Path | None,
        typer.Option(
            help="A JSON list of other addresses of weights and archives, in the form of "
            "inference/checkpoints/pull/known.json."
        ),
    ] = None,
) -> None:
    """Reproduce a published captioner: fetch what it is made from, prepare, train, score beside its author's
    figures, and put it where the bot finds it. Stopped at any moment, the same command goes on from there."""
    from inference.checkpoints.pull.entries import read_list  # noqa: PLC0415 - help does without
    from train_scripts.reproduce.planning import Places, config_of, steps_to  # noqa: PLC0415
    from train_scripts.reproduce.plans import read_catalogue, read_system  # noqa: PLC0415
    from train_scripts.reproduce.steps import ask_for_archives, overview  # noqa: PLC0415

    with one_sentence():
        system, places = read_system(name), Places(data, out or Path("runs") / "reproduce" / name)
        config = config_of(system, places, overrides or ())
        others = read_list(addresses) if addresses else {}
        steps, score = steps_to(system, read_catalogue(), config, places, others)
        if dry_run:
            console().print(overview(f"{name}: {len(steps)} steps", steps).to_rich())
            return
        ask_for_archives(steps)
        _go(places.run, steps)
        scores = score.scores()
        assert scores is not None  # noqa: S101 - the last steps are done
        console().print(_beside(name, system.original, scores))
        typer.echo(f"Ask it: {PYTHON} -m inference caption PICTURE --model {system.model}")


def _go(run: Path, steps: Any) -> None:
    from inference.common.locks import Locked, locked  # noqa: PLC0415
    from train_scripts.process import set_up_process  # noqa: PLC0415 - torch
    from train_scripts.reproduce.steps import go  # noqa: PLC0415
    from train_scripts.training.loop import Interrupted  # noqa: PLC0415

    set_up_process()
    # accelerate reports the threads it chose for a process as a warning.
    warnings.filterwarnings("ignore", message="OMP_NUM_THREADS/MKL_NUM_THREADS unset")
    try:
        run.mkdir(parents=True, exist_ok=True)
        with locked(run):
            go(steps, typer.echo)
    except Locked:
        raise UserError(
            f"{run} is being worked on by another process: wait for it, or give another --out."
        ) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or 'A file'} cannot be written or read ({error.strerror or error}): mend that, "
            "then give the same command again."
        ) from error
    except (Interrupted, KeyboardInterrupt):
        typer.echo("Stopped. The same command goes on from there.", err=True)
        raise typer.Exit(130) from None


def _beside(name: str, original: Mapping[str, float], scores: Mapping[str, Any]) -> Any:
    """The table of the scores that the author told."""
    from train_scripts.metrics.evaluator import TITLES  # noqa: PLC0415
    from train_scripts.tables import Sheet  # noqa: PLC0415

    rows = []
    for key, told in original.items():
        value, low, high = (
            "–" if (one := scores["scores"][key][part]) is None else f"{one:.3f}"
            for part in ("value", "low", "high")
        )
        rows.append((TITLES[key], f"{told:.3f}", value, f"{low} … {high}"))
    title = (
        f"{name}: {scores['pictures']} test pictures; the original's figures are by its own words and metrics"
    )
    return Sheet(title, ("Score", "Original", "Reproduced", "95 % interval"), tuple(rows)).to_rich()
