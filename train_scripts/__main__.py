"""`python -m train_scripts`: the researcher's commands, each in a module of its own."""

from __future__ import annotations

import typer

from inference.common.file_names import forgive
from train_scripts.compare import compare_command
from train_scripts.data.commands import app as prepare_app
from train_scripts.detectors import detectors_command
from train_scripts.evaluate import evaluate_command
from train_scripts.feedback.commands import finetune_command, promote_command
from train_scripts.graphs import graphs_command
from train_scripts.int8 import int8_command
from train_scripts.language_model.commands import language_model_command
from train_scripts.meme_small.commands import line_scorer_command, read_command, train_command
from train_scripts.reader.commands import recognizer_command
from train_scripts.reproduce.commands import reproduce_command
from train_scripts.terminal import TrainCommand
from train_scripts.training.commands import train_preset_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Prepare data, train captioners, teach them what people corrected, and measure them.",
    pretty_exceptions_enable=False,
    callback=forgive,
)
app.add_typer(prepare_app, name="prepare")
for name, command in (
    ("evaluate", evaluate_command),
    ("compare", compare_command),
    ("finetune", finetune_command),
    ("promote", promote_command),
    ("train", train_preset_command),
    ("reproduce", reproduce_command),
    ("read", read_command),
    ("line-scorer", line_scorer_command),
    ("meme-small", train_command),
    ("language-model", language_model_command),
    ("recognizer", recognizer_command),
    ("graphs", graphs_command),
    ("int8", int8_command),
    ("detectors", detectors_command),
):
    app.command(name, cls=TrainCommand)(command)

if __name__ == "__main__":
    app(prog_name="python -m train_scripts")
