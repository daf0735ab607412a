"""A real bot process at work, and a person at the chat page.

The tests of a module share a browser, hence an event loop; each has a stand-in and a bot of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from bot.sandbox import Sandbox
from tests.bot.forked import Bots
from tests.e2e.page import ChatPage, chat_page, chromium
from tests.e2e.processes import BotProcess, fake_settings, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here run in their module's event loop."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium."""
    async with chromium() as running_browser:
        yield running_browser


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A stand-in of the Bot API of this test's own, on a free port."""
    async with Sandbox() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def bot(sandbox: Sandbox, tmp_path: Path, bots: Bots) -> AsyncIterator[BotProcess]:
    """The bot with a captioner that costs nothing, talking to `sandbox`."""
    async with running(sandbox, tmp_path, fake_settings(tmp_path), bots=bots) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="module")
async def chat(browser: Browser, sandbox: Sandbox, bot: BotProcess) -> AsyncIterator[ChatPage]:
    """The page, open, with the bot behind it; no error on the page is forgiven."""
    async with chat_page(browser, sandbox) as page:
        await page.open()
        yield page
        assert page.errors == []
