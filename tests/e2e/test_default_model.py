"""The journey with the model that ships: nothing is faked, from the browser to the words on the picture."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect
from rapidfuzz import fuzz

from bot.sandbox import Sandbox
from inference.checkpoints.card_file import read_card
from tests.drawing import DEFAULT_WORDS, draw_meme, jpeg_bytes
from tests.e2e.page import WAIT, chat_page
from tests.e2e.processes import ROOT, SHIPPED, BotProcess, default_settings, running
from tests.e2e.test_page import metadata


@pytest_asyncio.fixture(loop_scope="module")
async def bot(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[BotProcess]:
    """The bot as a stranger runs it."""
    async with running(sandbox, tmp_path, default_settings()) as process:
        yield process


def letters(text: str) -> str:
    """Only what reading is about."""
    return " ".join(re.findall(r"\w+", text.lower().replace("ё", "е")))


async def test_a_meme_is_described_and_its_words_are_read(
    bot: BotProcess, sandbox: Sandbox, browser: Browser, tmp_path: Path
) -> None:
    async with chat_page(browser, sandbox) as chat:
        await chat.open()
        await chat.allow_pictures()
        picture = jpeg_bytes(draw_meme("caption_bar", width=640))
        await chat.attach(("meme.jpg", "image/jpeg", picture))
        reply = chat.replies.last
        await reply.get_by_role("button", name="5 ★★★★★ отлично").click(timeout=WAIT)
        await expect(reply).to_contain_text("Ваша оценка: 5 из 5", timeout=WAIT)
        text = sandbox.messages(by_bot=True)[-1]["text"]
        assert chat.errors == []

    description, *rest = text.split("\n\n")
    (quoted,) = re.findall(r'"([^"]+)"', description)
    assert len(letters(description).split()) >= 5
    assert fuzz.ratio(letters(quoted), letters(DEFAULT_WORDS["caption_bar"][0])) >= 85
    assert "на картинке" not in description and len(rest) == 1, "the words are said once, in their place"
    assert rest[-1].startswith("Ваша оценка: 5 из 5")

    await bot.command("export", "--out", str(tmp_path / "out"))
    (row,) = metadata(tmp_path / "out")
    assert row["rating"] == 5
    assert row["model"] == "meme-small"
    assert len(row["checkpoint"]) == 64


async def test_every_model_that_ships_is_offered_and_two_are_compared_rated_and_told_apart(
    bot: BotProcess, sandbox: Sandbox, browser: Browser, tmp_path: Path
) -> None:
    async with chat_page(browser, sandbox) as chat:
        await chat.open()
        await chat.allow_pictures()
        await chat.write("/model")
        for name in SHIPPED:
            card = read_card(ROOT / "checkpoints" / name)
            told = re.compile(rf"{name} – {re.escape(card.description_ru)} На проверке: .*METEOR 0,\d{{3}}\.")
            await expect(chat.replies.last).to_contain_text(told, timeout=WAIT)
        await chat.write("/compare lstm-navec-small")
        await expect(chat.replies.last).to_contain_text("два описания каждой картинки", timeout=WAIT)

        await chat.attach(("meme.jpg", "image/jpeg", jpeg_bytes(draw_meme("caption_bar", width=640))))
        marks = {"meme-small": "4 ★★★★ хорошо", "lstm-navec-small": "2 ★★ слабо"}
        said = []
        for part, (name, mark) in enumerate(marks.items(), start=1):
            title = f"Описание {part} из 2. Модель: {name}."
            said.append(chat.replies.filter(has_text=title))
            # Its buttons say whose they are, before the first of them is reached.
            buttons = chat.page.get_by_role("group", name=f"Кнопки под сообщением: {title}")
            await buttons.get_by_role("button", name=mark).click(timeout=WAIT)
            await expect(said[-1]).to_contain_text(f"Ваша оценка: {mark[0]} из 5", timeout=WAIT)
        first, second = said
        view = chat.page.get_by_role("button", name="Описания одной картинки рядом")
        await expect(view).to_have_attribute("aria-pressed", "true")
        assert await stand(first, second) == "side by side"
        # They are heard and reached one after another all the same.
        await first.get_by_role("button", name=re.compile("^Ответить на сообщение")).focus()
        await chat.page.keyboard.press("Tab")  # to the quotation in the second
        await expect(second.get_by_role("button", name="В ответ на: Картинка")).to_be_focused()
        await view.click()
        await expect(view).to_have_attribute("aria-pressed", "false")
        assert await stand(first, second) == "one below the other"
        await view.click()
        assert await stand(first, second) == "side by side"
        await chat.page.set_viewport_size({"width": 400, "height": 800})
        assert await stand(first, second) == "one below the other"
        assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert chat.errors == []

    await bot.command("export", "--out", str(tmp_path / "out"))
    rated = {row["model"]: row["rating"] for row in metadata(tmp_path / "out")}
    assert rated == {name: int(mark[0]) for name, mark in marks.items()}


async def stand(first: Locator, second: Locator) -> str:
    """How two messages stand to each other."""
    one, other = await first.bounding_box(), await second.bounding_box()
    assert one is not None and other is not None
    if other["x"] >= one["x"] + one["width"] and abs(other["y"] - one["y"]) < 1:
        return "side by side"
    return "one below the other" if other["y"] >= one["y"] + one["height"] else "otherwise"


async def test_words_are_never_invented(bot: BotProcess, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(jpeg_bytes(draw_meme("photo", width=640)))
    await sandbox.wait_for(lambda: sandbox.messages(by_bot=True), 120)
    (reply,) = sandbox.messages(by_bot=True)
    assert reply["reply_to_message"]["message_id"] == photo["message_id"]
    assert "Слова на картинке:" not in reply["text"]
    assert not re.search(r"«[^»]+»|\"[^\"]+\"", reply["text"])


async def test_pytorch_is_in_no_process(bot: BotProcess, sandbox: Sandbox) -> None:
    """Though it is installed where the tests are run."""
    await sandbox.send_photo(jpeg_bytes(draw_meme("tweet", width=480)))
    await sandbox.wait_for(lambda: sandbox.messages(by_bot=True), 120)
    assert bot.process is not None
    process = psutil.Process(bot.process.pid)
    files = [
        {Path(mapped.path).name for mapped in one.memory_maps()}
        for one in (process, *process.children(recursive=True))
    ]
    assert not any("torch" in name for names in files for name in names)
    served = [any("onnxruntime" in name for name in names) for names in files]
    assert served.count(True) == 1, "the worker's; pictures are opened without it"
