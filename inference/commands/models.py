"""``python -m inference models``: what there is to choose from, and what could be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from inference.checkpoints.models import MissingModel, ModelInfo, list_models, missing_models
from inference.commands.common import DEFAULTS, ModelsDir
from inference.presets.preset import Preset, names, preset


def models(
    models_dir: ModelsDir = DEFAULTS.models_dir,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the models that are ready to caption, and those that are not here, each with what gets it.

    Scores are those of the model's card. Of a system that is not here the parameters are those at full size:
    what training changes, and all.
    """
    found, missing = list_models(models_dir), missing_models(models_dir)
    presets = {name: preset(name) for name in names()}
    if as_json:
        rows = (*map(_model_row, found), *map(_missing_row, missing), *map(_preset_row, presets.values()))
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    if found:
        _print("Ready to caption", (_about(one) for one in found))
    else:
        typer.echo(
            f"There is no model in {models_dir} yet: put a checkpoint there or name --models-dir.", err=True
        )
    if missing:
        title = "Not here: below each is the command that makes or fetches it, and says what it lacks"
        _print(title, (_missing(one, presets) for one in missing))


def _print(title: str, paragraphs: Iterable[Iterable[str]]) -> None:
    """Lines as they are, whatever the terminal's width: a command that is cut in two cannot be copied."""
    typer.echo(f"{title}\n")
    for first, *others in paragraphs:
        typer.secho(first, bold=True)
        for line in filter(None, others):
            typer.echo(f"  {line}")
        typer.echo()


def _about(info: ModelInfo) -> Iterator[str]:
    size = f", {_millions(info.parameters)} parameters" if info.parameters else ""
    yield f"{info.name}{size}, checkpoint {info.checkpoint[:12]}"
    yield info.description
    yield "; ".join(f"{score.name} {score.value:.3f}" for score in info.scores)


def _missing(model: MissingModel, presets: dict[str, Preset]) -> Iterator[str]:
    known = presets.get(model.name)
    sizes = f", {_millions(known.trainable)} of {_millions(known.parameters)} trained" if known else ""
    yield f"{model.name}{sizes}"
    yield model.description
    yield model.command


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M"


def _model_row(info: ModelInfo) -> dict[str, Any]:
    names = ("name", "checkpoint", "parameters", "description")
    scores = {score.key: score.value for score in info.scores}
    return {"kind": "model", **{name: getattr(info, name) for name in names}, "scores": scores}


def _missing_row(model: MissingModel) -> dict[str, Any]:
    names = ("name", "description", "command")
    return {"kind": "missing", **{name: getattr(model, name) for name in names}}


def _preset_row(preset: Preset) -> dict[str, Any]:
    names = ("name", "trainable", "parameters")
    told = {name: getattr(preset, name) for name in names}
    return {"kind": "preset", **told, "description": preset.description.en}
