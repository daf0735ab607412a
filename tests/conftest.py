"""What several of the test packages use."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

# As many files of tests run at once as there are processors: more threads would wait for each other, and
# spin meanwhile. It is said before anything imports numpy or PyTorch, and holds for what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bot.sandbox import Sandbox
from tests.bot.forked import Bots, warm_bots
from tests.forked import Commands, commands

# A shell that starts the tests in the background has them ignore Ctrl+C, and their processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected stays to the end: looking through it for garbage, again and again, takes a
# tenth of the time. That begins in `pytest_collection_finish`.
gc.disable()

# The files that take longest begin first: else one process would be left with them when the others are done.
LONG = (
    "inference/captioners/test_graphs.py",
    "inference/captioners/test_building.py",
    "train_scripts/reproduce/test_reproduce.py",
    "inference/test_full_size.py",
    "docs/test_commands.py",
    "e2e/test_survival.py",
    "bot/test_restart.py",
    "train_scripts/test_training_runs.py",
    "benchmarks/test_benchmarks.py",
    "e2e/test_page.py",
    "train_scripts/feedback/test_loop.py",
    "bot/test_journeys.py",
    "bot/test_troubles.py",
    "train_scripts/test_int8.py",
    "inference/commands/test_cli.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files: those above, then the others as they come."""
    turns = {Path(__file__).parent / name: turn for turn, name in enumerate(LONG)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


def pytest_collection_finish() -> None:
    """From here on there is garbage, looked for less often than after every 700 objects: to trace a graph
    took a quarter more time for it."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_sessionfinish() -> None:
    """What libraries check when they end is there again."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def numbers_as_usual() -> Iterator[None]:
    """A command that trains, run within the tests' process, makes tiny numbers zero: hypothesis refuses to
    draw numbers behind it."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command run within the tests' process logs to the stderr of that one run: whatever logged behind it
    would write to a closed file."""
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def bots() -> Iterator[Bots]:
    """Starts processes of ``python -m bot`` that need not import it first."""
    with warm_bots() as started:
        yield started


@pytest.fixture(scope="session")
def command() -> Iterator[Commands]:
    """Runs commands in processes of their own that need not import PyTorch first."""
    with commands() as asked:
        yield asked


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in of the Bot API of this test's own, on a free port."""
    async with Sandbox() as running:
        yield running
