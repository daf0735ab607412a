"""How the interpreter is written in the commands that people are told to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.common.interpreter import typed


@pytest.mark.parametrize(
    ("executable", "found", "written"),
    [
        ("/home/anna/bot/.venv/bin/python", "/usr/bin/python", ".venv/bin/python"),
        ("/home/anna/bot/.venv/bin/python", None, ".venv/bin/python"),
        # Whoever activated the environment types the name alone, as in a container.
        ("/home/anna/bot/.venv/bin/python", "/home/anna/bot/.venv/bin/python", "python"),
        ("/usr/local/bin/python3.11", "/usr/local/bin/python3.11", "python"),
        # No path of the machine is told.
        ("/opt/secret/bin/python", "/usr/bin/python", "python"),
        ("/home/anna/bot/my env/bin/python", None, "'my env/bin/python'"),
    ],
)
def test_a_command_names_the_interpreter_that_has_the_packages(
    executable: str, found: str | None, written: str
) -> None:
    assert typed(executable, Path("/home/anna/bot"), found) == written
