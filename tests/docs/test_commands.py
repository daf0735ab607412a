"""Whoever types what the pages say gets what they promise: every block is run, here or where it says."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bot.__main__ import cli as bot_commands
from inference.__main__ import app as inference_commands
from tests.docs.pages import NEEDS, PAGES, ROOT, RUN, SHOWN, Block, all_blocks, blocks, read
from tests.docs.project import environment, make_project
from train_scripts.__main__ import app as training_commands

PROGRAMS = {"bot": bot_commands, "inference": inference_commands, "train_scripts": training_commands}
BLOCKS = all_blocks()
# Commands that go on until they are stopped, and what they print when they are ready.
SERVICES = {
    r"^make run$": r"http://127\.0\.0\.1:\d+",
    r" -m bot sandbox\b": r"BOT_API_URL=http",
    r" -m tensorboard\.main\b": r"http://localhost:\d+",
}
_MODULE = re.compile(r"python -m ([\w.]+)(.*)")


def first_places() -> Iterator[tuple[Block, list[str]]]:
    """Each block that is to be run, with those of its commands that no block before it has."""
    seen: set[str] = set()
    for block in BLOCKS:
        if block.language == "sh" and not (block.needs or block.run_by):
            new = [command for command in block.commands if command not in seen]
            seen.update(new)
            yield block, new


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_is_run_or_says_what_it_needs(block: Block) -> None:
    assert block.language in (*RUN, *SHOWN), f"{block.place}: is {block.language!r} to be run or not?"
    if block.needs:
        assert block.needs.startswith(NEEDS), block.place
    if block.run_by:
        text = (ROOT / block.run_by).read_text("utf-8")
        for command in block.commands:
            assert any(word in text for word in telling(command)), f"{block.run_by} does not run {command}"


def telling(command: str) -> list[str]:
    """What a script or test that runs the command has in it: one of these."""
    made = re.search(r"\bmake \w+", command)
    if made:
        return [made[0], *(name.lower() for name in re.findall(r"\b([A-Z_]+)=", command))]
    if "curl " in command:
        return ['"curl"']
    ((module, arguments),) = _MODULE.findall(command)
    return [f'"{arguments.split()[0]}"'] if module in PROGRAMS else [f'"{module}"', f"{module} import"]


@pytest.mark.parametrize("page", PAGES)
def test_modules_commands_and_options_exist(page: str) -> None:
    """Of every command, also of those in the running text and of those that are not run here."""
    text = read(page).replace("\\\n", " ")
    for line in commands_of(text):
        ((module, arguments),) = _MODULE.findall(line)
        assert importlib.util.find_spec(module) is not None, line
        if module in PROGRAMS:
            command, words = sub_command(module, arguments.split())
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            unknown = {word for word in words if word.startswith("--")} - known
            assert not unknown, f"{line}: {unknown}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_says_nothing_of_this_machine_nor_of_the_code(program: str) -> None:
    for command in every_command(typer.main.get_command(PROGRAMS[program])):
        parameters = [one.default for one in command.params if one.show_default is True]
        assert not any(isinstance(one, Path) and one.is_absolute() for one in parameters), command.name
        assert "``" not in f"{command.help}", command.name


def every_command(command: Any) -> Iterator[Any]:
    """The command and all below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from every_command(below)


def commands_of(text: str) -> list[str]:
    """Everything that begins with ``python -m``, up to the end of the line or of the quotation."""
    return [found.strip() for found in re.findall(r"python -m [^`\n#|…;)]+", text)]


def sub_command(module: str, words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words behind its name."""
    command: Any = typer.main.get_command(PROGRAMS[module])
    while hasattr(command, "commands") and words:
        found = command.commands.get(words[0])
        assert found is not None, f"python -m {module} has no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def test_make_has_what_the_pages_ask_of_it() -> None:
    targets = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", read(page), re.MULTILINE))
        assert named <= targets, page
        if page.startswith("README"):
            assert {"run", "test"} <= named


# --- running them ---


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "project"
    make_project(folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page: str, project: Path) -> None:
    for block, commands in first_places():
        if block.page == page:
            for command in commands:
                run(block, command, project)
    for block in blocks(page):
        if block.language == "python" and not block.needs:
            python(block, project)


def run(block: Block, command: str, project: Path) -> None:
    """As it is typed; a service until it is ready."""
    for service, ready in SERVICES.items():
        if re.search(service, command):
            serve(block, command, ready, project)
            return
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=project,
        env=environment(),
        input="y\n",  # to "Erase everything about the person?"
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{block.place}: {command}\n{done.stdout}\n{done.stderr}"


def serve(block: Block, command: str, ready: str, project: Path) -> None:
    process = subprocess.Popen(
        ["bash", "-euc", f"exec {command}"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that Ctrl+C reaches what it has started
    )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if re.search(ready, line):
                break
        else:
            raise AssertionError(f"{block.place}: {command} ended\n{printed}")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def python(block: Block, project: Path) -> None:
    done = subprocess.run(
        [project / ".venv" / "bin" / Path(sys.executable).name, "-c", block.text],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{block.place}\n{done.stderr}"
    if block.page == "README.md":
        assert "проснулся" in done.stdout.lower(), "the five lines print the words of the picture"
