"""The operator's page in the browser, by the names that a screen reader says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.feedback.store import Store
from bot.operating.page.door import Door
from bot.operating.page.server import serve_page
from tests.bot.operating.drawn import fill
from tests.e2e.page import chromium

PASSWORD = "correct horse battery"
DETAILS = {"polling": True, "trouble": None, "engine": True, "database": True, "database_trouble": None}


@asynccontextmanager
async def opened(folder: Path, port: int, **look: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """The page of a store with drawn data, and what the browser complained of."""
    url = f"http://127.0.0.1:{port}"
    async with await Store.open(f"sqlite:///{folder}/bot.db", folder / "data") as store:
        await fill(store)
        async with (
            serve_page(store, lambda: (True, DETAILS), Door(PASSWORD), "127.0.0.1", port),
            chromium() as browser,
        ):
            context = await browser.new_context(viewport={"width": 1180, "height": 860}, **look)
            page, errors = await context.new_page(), []
            page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
            page.on("request", lambda asked: None if asked.url.startswith(url) else errors.append(asked.url))
            await page.goto(url)
            await page.get_by_label("Operator's password").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Meme describer")
            await expect(page.get_by_role("button", name="Log out")).to_be_visible()
            yield page, errors


@pytest.mark.timeout(300)
async def test_all_of_it_is_heard_and_reached_by_the_keyboard(tmp_path: Path, unused_tcp_port: int) -> None:
    async with opened(tmp_path, unused_tcp_port) as (page, errors):
        headings = await page.get_by_role("heading", level=2).all_inner_texts()
        assert headings == [
            "Now",
            "The last 30 days",
            "Models",
            "Pictures not answered, in 30 days",
            "Low marks, in 30 days",
        ]
        # Each curve says what it shows, and all of them are a table besides.
        curves = page.get_by_role("img", name="Pictures answered: at least")
        await expect(curves).to_have_count(1)
        assert await page.locator("svg[role=img]").count() == 4
        await page.get_by_text("The same as a table").click()
        days = page.get_by_role("region", name="Days as a table").get_by_role("row")
        assert await days.count() == 31
        models = page.get_by_role("region", name="Models as a table")
        await expect(models.get_by_role("row")).to_have_count(3)
        await expect(models.get_by_role("row").nth(1)).to_contain_text("meme-small")
        assert await page.get_by_role("row", name="timeout").count() == 1
        # A picture beside each description, of which none is without a name.
        shown = page.get_by_role("article").first
        picture = shown.get_by_role("img", name="The picture that caption")
        await picture.scroll_into_view_if_needed()
        await expect(picture).to_have_js_property("complete", True)
        assert await picture.evaluate("image => image.naturalWidth") == 360
        assert await page.locator("img:not([alt])").count() == 0
        # The first stop of the Tab key leads past the links.
        await page.reload()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "To the numbers"
        await page.get_by_role("link", name="7 days").click()
        await expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()
        # It fits a narrow window: nothing but the tables scrolls sideways.
        await page.set_viewport_size({"width": 360, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Operator's password")).to_be_focused()
        assert errors == []
