"""`python -m train_scripts`: the researcher's commands, each in a module of its own."""

from __future__ import annotations

import sys

import typer

try:
    from train_scripts.compare import compare_command
    from train_scripts.evaluate import evaluate_command
except ModuleNotFoundError as error:
    sys.exit(
        f"Error: {error.name} is not installed: run `pip install '.[research]'` in the project's folder."
    )

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.command("evaluate")(evaluate_command)
app.command("compare")(compare_command)

if __name__ == "__main__":
    app(prog_name="python -m train_scripts")
