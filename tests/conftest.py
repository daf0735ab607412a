"""What several of the test packages use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

# As many files of tests run at once as there are processors: more threads would wait for each other, and
# spin meanwhile. It is said before anything imports numpy or PyTorch, and holds for what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bot.sandbox import Sandbox

# A shell that starts the tests in the background has them ignore Ctrl+C, and their processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def numbers_as_usual() -> Iterator[None]:
    """A command that trains, run within the tests' process, makes tiny numbers zero: hypothesis refuses to
    draw numbers behind it."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in of the Bot API of this test's own, on a free port."""
    async with Sandbox() as running:
        yield running
