"""``python -m inference models``: what there is to choose from."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inference.commands.common import DEFAULTS, ModelsDir
from inference.models import list_models


def models(
    models_dir: ModelsDir = DEFAULTS.models_dir,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a model.")] = False,
) -> None:
    """List the models there are."""
    found = list_models(models_dir)
    if not found:
        typer.echo(
            f"There is no model in {models_dir}: put a checkpoint there or name --models-dir.", err=True
        )
        raise typer.Exit(2)
    if as_json:
        for info in found:
            row = {name: getattr(info, name) for name in ("name", "checkpoint", "parameters", "description")}
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table("Model", "Parameters", "Checkpoint", "Description")
    for info in found:
        size = f"{info.parameters / 1e6:.1f} M"
        table.add_row(escape(info.name), size, info.checkpoint[:12], escape(info.description))
    Console().print(table)
