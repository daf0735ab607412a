"""``python -m inference pull``: fetch known public weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from inference.checkpoints.hub import HubSettings
from inference.checkpoints.hub import fetch as fetch_from_hub
from inference.checkpoints.names import HubModel, ModelName
from inference.checkpoints.pull.download import Progress
from inference.checkpoints.pull.entries import KNOWN, PullError, Weights, read_list
from inference.checkpoints.pull.pulling import Pulled, find_pulled
from inference.checkpoints.pull.pulling import pull as fetch
from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.types import EngineError

_CHECKED = {
    "published": "as published",
    "hub": "as the hub states it",
    "name": "as its name begins",
    "": "no published hash to compare with; recorded",
}


def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Of those that --list shows, or hf:ORG/NAME of the hub."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what can be fetched, and what is here.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="A JSON list of other weights, as inference/checkpoints/pull/known.json."),
    ] = None,
    models_dir: ModelsDir = DEFAULTS.models_dir,
) -> None:
    """Fetch known public weights into MODELS_DIR/NAME.

    An interrupted download goes on where it stopped. Every file is compared with its published sha256 where
    there is one; the sha256 of all are kept in manifest.json.
    """
    try:
        known = {**KNOWN, **(read_list(weights) if weights else {})}
        if show or not names:
            _show(known, models_dir)
            return
        for asked in [known.get(name) or _hub_models(name, known) for name in names]:
            if isinstance(asked, Weights):
                for found in fetch(asked, models_dir, progress=bar):
                    typer.echo(sentence(found))
            else:
                for model in asked:
                    typer.echo(f"{fetch_from_hub(model, models_dir)}: {model.name}")
    except EngineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as interrupt:
        typer.echo("Stopped. The same command goes on from there.", err=True)
        raise typer.Exit(130) from interrupt


def _hub_models(name: str, known: Collection[str]) -> list[HubModel]:
    """What a captioner of the hub needs. Raises PullError when the name is that of nothing one can fetch."""
    parsed = ModelName.parse(name)
    if not isinstance(parsed.model, HubModel):
        raise PullError(f"There are no weights named {name!r}: choose one of {', '.join(known)}.")
    settings = HubSettings.of(parsed.model, parsed.translation)
    return [settings.model, *filter(None, [settings.translation])]


def sentence(found: Pulled) -> str:
    """What became of a file, in one line."""
    how = "" if found.fetched else " was there already"
    return f"{found.path}{how}: sha256 {found.sha256} ({_CHECKED.get(found.checked, found.checked)})"


@contextlib.contextmanager
def bar(name: str) -> Iterator[Progress]:
    """A progress bar on stderr for a file of that name."""
    interval = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, mininterval=interval) as shown:

        def tell(there: int, total: int | None) -> None:
            shown.total = total
            if shown.n == 0:
                shown.initial = there
            shown.update(there - shown.n)

        yield tell


def _show(known: dict[str, Weights], models_dir: Path) -> None:
    table = Table("Name", "Here", "What")
    table.add_column("MB, about", justify="right")
    for entry in known.values():
        here = "yes" if find_pulled(models_dir, entry.name) else ""
        table.add_row(entry.name, here, entry.what, f"{entry.megabytes:,.0f}" if entry.megabytes else "")
    Console().print(table)
