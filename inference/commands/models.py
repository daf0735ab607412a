"""``python -m inference models``: what there is to choose from."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inference.checkpoints.models import ModelInfo, list_models
from inference.commands.common import DEFAULTS, ModelsDir
from inference.presets.preset import Preset, names, preset


def models(
    models_dir: ModelsDir = DEFAULTS.models_dir,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the models there are, and the presets that can be trained, converted or fetched.

    A preset's parameters are those at full size: what training changes, and all.
    """
    found = list_models(models_dir)
    presets = [preset(name) for name in names()]
    if as_json:
        for row in (*map(_model_row, found), *map(_preset_row, presets)):
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    console = Console()
    if found:
        table = Table("Model", "Parameters", "Checkpoint", "Description", title="Ready to caption")
        for info in found:
            size = _millions(info.parameters) if info.parameters else ""
            table.add_row(escape(info.name), size, info.checkpoint[:12], escape(info.description))
        console.print(table)
    else:
        typer.echo(
            f"There is no model in {models_dir} yet: put a checkpoint there or name --models-dir.", err=True
        )
    table = Table(title="Presets: train, convert or pull one")
    table.add_column("Preset", no_wrap=True)
    for column in ("Trained", "All"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("Description")
    for one in presets:
        sizes = (_millions(one.trainable), _millions(one.parameters))
        table.add_row(escape(one.name), *sizes, escape(one.description.en))
    console.print(table)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M"


def _model_row(info: ModelInfo) -> dict[str, Any]:
    names = ("name", "checkpoint", "parameters", "description")
    return {"kind": "model", **{name: getattr(info, name) for name in names}}


def _preset_row(preset: Preset) -> dict[str, Any]:
    names = ("name", "trainable", "parameters")
    told = {name: getattr(preset, name) for name in names}
    return {"kind": "preset", **told, "description": preset.description.en}
