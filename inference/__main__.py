"""``python -m inference``: see :mod:`inference.commands`."""

from __future__ import annotations

import typer

from inference.commands.caption import caption
from inference.commands.convert import convert
from inference.commands.export import export
from inference.commands.models import models
from inference.commands.pull import pull
from inference.commands.serve import serve
from inference.commands.verify import verify
from inference.common.file_names import forgive

app = typer.Typer(
    name="python -m inference",
    help="Describe pictures in Russian, and read the words on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    callback=forgive,
)
for command in (caption, models, pull, convert, export, verify, serve):
    app.command()(command)

if __name__ == "__main__":
    app()
