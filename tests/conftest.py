"""What several of the test packages use."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

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
