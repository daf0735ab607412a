"""Where the commands write, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from inference.common.errors import UserError
from inference.common.extras import require
from inference.common.file_names import shown

__all__ = ["TrainCommand", "console", "one_sentence"]

_PIPED_WIDTH = 120  # characters; rich takes 80 where there is no terminal, which breaks the tables' lines


def console() -> Console:
    """The console that the tables go to."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=_PIPED_WIDTH)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Ends the command with exit code 1 and one sentence on stderr for what its user can mend."""
    try:
        yield
    except UserError as error:
        typer.echo(f"Error: {shown(str(error))}", err=True)
        raise typer.Exit(1) from None


class TrainCommand(TyperCommand):
    """A command that needs the extra `train`. Its help does without: its module may import nothing of it."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command where the extra is installed; else it ends with one sentence."""
        with one_sentence():
            require("train", f"'{ctx.command_path}'")
        return super().invoke(ctx)
