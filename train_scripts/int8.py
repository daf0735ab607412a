"""`python -m train_scripts int8`: a served checkpoint with weights of 8 bits, if its scores hold."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from inference.captioners.encoder_decoder.graphs.captioner import GraphCaptioner
from inference.captioners.encoder_decoder.graphs.folder import (
    INT8_FILE,
    find,
    read_record,
    record,
    replacing,
)
from inference.captioners.encoder_decoder.graphs.parts import DRAFT, SUFFIX
from inference.captioners.encoder_decoder.graphs.rounding import round_graphs
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import WEIGHTS_FILE, find_checkpoint
from inference.checkpoints.format import making, read_config
from inference.checkpoints.mapped import MappedWeights
from inference.checkpoints.names import CheckpointFolder
from inference.checkpoints.tensor_files import write_arrays
from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.reading.reader import Reader
from train_scripts.data.captions import read_references
from train_scripts.feedback.pictures import Picture, batches, read_pictures
from train_scripts.metrics.command_line import Pictures, Split, picture_folder
from train_scripts.metrics.comparison import Comparison, compare
from train_scripts.metrics.tables import comparison_sheet
from train_scripts.terminal import console, one_sentence

__all__ = ["int8_command", "round_checkpoint"]

_FEWEST = 2  # pictures of which a bootstrap draws different ones


def int8_command(
    name: Annotated[str, typer.Argument(help="A checkpoint whose graphs are exported.")],
    data: Annotated[
        Path, typer.Option("--data", help="An imagefolder, or a table of file_name and text: the judges.")
    ],
    *,
    split: Split = None,
    pictures: Pictures = None,
    models_dir: ModelsDir = DEFAULTS.models_dir,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the paired bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Serve a checkpoint with weights of 8 bits: refused where a score of its captions falls by more than
    chance explains. The weights stay as they are; export the graphs again to go back."""
    with one_sentence():
        _exact_graphs(name, models_dir)  # before all pictures are read
        wanted = read_references(data, split=split)
        if len(wanted) < _FEWEST:
            raise UserError(
                f"{data} names one picture, by which a loss cannot be told from chance: give a few hundred."
            )
        read = read_pictures(picture_folder(pictures, data), wanted, {}, Reader(), "the pictures")
        comparison = round_checkpoint(name, models_dir, read, wanted, resamples=resamples, seed=seed)
    console().print(comparison_sheet(comparison, "float32", "int8").to_rich())


def round_checkpoint(
    name: str,
    models_dir: Path,
    pictures: Sequence[Picture],
    references: Mapping[str, tuple[str, ...]],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Puts graphs for weights of 8 bits in the place of the named checkpoint's. Raises UserError, and leaves
    all as it was, where a score is worse by more than its paired bootstrap's 95 % interval."""
    folder, graphs = _exact_graphs(name, models_dir)
    config = read_config(folder)
    exact = _said(folder, graphs, config, pictures)
    with replacing(folder) as part:
        # Copied here, so that the new folder is whole in itself.
        for graph in graphs.glob(f"*{SUFFIX}"):
            if not graph.name.startswith(DRAFT):
                shutil.copyfile(graph, part / graph.name)
        rounded = round_graphs(part, MappedWeights(folder / WEIGHTS_FILE))
        write_arrays(part / INT8_FILE, rounded)
        said = _said(folder, part, config, pictures)
        comparison = compare(exact, said, references, resamples=resamples, seed=seed)
        worse = [one.measure.title for one in comparison.differences.values() if one.verdict == "A"]
        if worse:
            raise UserError(
                f"With weights of 8 bits {name} describes worse ({', '.join(worse)}): it is served in "
                "float32 as before."
            )
        scores = comparison.to_dict()
        record(part, replace(read_record(graphs), int8=True, scores=scores))
    return comparison


def _exact_graphs(name: str, models_dir: Path) -> tuple[Path, Path]:
    """The named checkpoint's folder, and that of its graphs. Raises UserError where it has none of its
    weights in float32."""
    folder = find_checkpoint(models_dir, CheckpointFolder(name))
    graphs = find(folder)
    if graphs is None or (graphs / INT8_FILE).is_file():
        raise UserError(
            f"{name} has no graphs of its weights in float32: run '{PYTHON} -m inference export {name}' "
            "first."
        )
    return folder, graphs


def _said(
    folder: Path, graphs: Path, config: CheckpointConfig, pictures: Sequence[Picture]
) -> dict[str, str]:
    """By file name."""
    said: dict[str, str] = {}
    with making(folder.name):
        captioner = GraphCaptioner(folder, graphs, config)
        for batch in batches(pictures):
            images, readings = [one.image for one in batch], [one.reading for one in batch]
            texts, _ = captioner.describe(images, readings, config.decoding)
            said.update(zip((one.name for one in batch), texts, strict=True))
    return said
