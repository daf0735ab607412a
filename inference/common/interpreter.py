"""Which Python runs the program, for the commands that its sentences tell people to type."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

__all__ = ["PYTHON", "typed"]


def typed(executable: str, folder: Path, found: str | None) -> str:
    """The interpreter as it is typed in ``folder``; ``found``: what the shell takes its bare name for.

    The path where it lies in the folder and the bare name would lead to another one, which lacks the
    packages; else ``python``: where things lie on a machine is nobody's business who reads it in a chat.
    """
    path = Path(executable)
    if path.is_relative_to(folder) and (found is None or Path(found) != path):
        return shlex.quote(str(path.relative_to(folder)))
    return "python"


# In the project's folder `.venv/bin/python`.
PYTHON: Final = typed(sys.executable, Path.cwd(), shutil.which(Path(sys.executable).name))
