"""``python -m tests.e2e.screenshot OUT.png``: the real bot with its default model, on the page.

A meme that the tests draw goes in, the bot describes it, a mark is given; with ``--compare`` all models
that ship describe it, and each description gets a mark. ``--captioner fake`` takes the captioner of the tests
instead (to work on the page's looks), ``--dark`` the dark colours, ``--phone`` a phone.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from bot.sandbox import Sandbox
from tests.drawing import draw_meme, jpeg_bytes
from tests.e2e.page import WAIT, chat_page, chromium
from tests.e2e.processes import SHIPPED, default_settings, fake_settings, running

MARKS = ("4 ★★★★ хорошо", "2 ★★ слабо", "3 ★★★ средне")


async def take(out: Path, *, fake: bool, compare: bool, dark: bool, phone: bool) -> None:
    """Drive the page and save what it shows."""
    width = 400 if phone else 1480 if compare else 1240
    size = {"width": width, "height": 860 if phone else 1120}
    look: dict[str, Any] = {
        "viewport": size,
        "color_scheme": "dark" if dark else "light",
        "device_scale_factor": 1.5,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = fake_settings(folder) if fake else default_settings()
        async with (
            Sandbox() as sandbox,
            running(sandbox, folder, settings),
            chromium() as browser,
            chat_page(browser, sandbox, **look) as chat,
        ):
            await chat.open()
            if compare:
                await chat.write("/compare")
                await expect(chat.replies.last).to_contain_text("каждой картинки", timeout=WAIT)
            before = await chat.replies.count()
            await chat.attach(("meme.jpg", "image/jpeg", jpeg_bytes(draw_meme("caption_bar", width=520))))
            for number in range(len(SHIPPED) if compare else 1):
                reply = chat.replies.nth(before + number)
                await expect(reply.get_by_role("button", name="Исправить")).to_be_visible(timeout=WAIT)
                await reply.get_by_role("button", name=MARKS[number]).click()
                await expect(reply).to_contain_text(f"Ваша оценка: {MARKS[number][0]} из 5", timeout=WAIT)
            await expect(chat.page.locator("#toast")).to_be_hidden(timeout=WAIT)
            await chat.page.mouse.move(0, 0)
            await chat.page.locator("#text").focus()
            await chat.page.screenshot(path=out)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.screenshot", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--captioner", choices=["default", "fake"], default="default")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    given = parser.parse_args()
    fake = given.captioner == "fake"
    asyncio.run(take(given.out, fake=fake, compare=given.compare, dark=given.dark, phone=given.phone))


if __name__ == "__main__":
    main()
