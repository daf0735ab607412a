"""What several of the test packages use."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from bot.sandbox import Sandbox

# A shell that starts the tests in the background has them ignore Ctrl+C, and their processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in of the Bot API of this test's own, on a free port."""
    async with Sandbox() as running:
        yield running
