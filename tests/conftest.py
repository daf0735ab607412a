"""What several of the test packages use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in of the Bot API of this test's own, on a free port."""
    async with Sandbox() as running:
        yield running
