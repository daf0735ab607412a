"""How the commands end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

__all__ = ["one_sentence"]


@contextmanager
def one_sentence(*mendable: type[Exception]) -> Iterator[None]:
    """Ends the command with exit code 1 and one sentence on stderr for what its user can mend: errors whose
    ``str()`` is that sentence.
    """
    try:
        yield
    except mendable as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
