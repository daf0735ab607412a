"""Several models behind the real bot: a checkpoint replaced under load, and two descriptions compared."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import expect

from bot.sandbox import Sandbox
from bot.sandbox.world import Json
from tests.bot.forked import Bots
from tests.drawing import draw_meme, jpeg_bytes
from tests.e2e.page import WAIT, ChatPage
from tests.e2e.processes import BotProcess, fake_settings, running
from tests.e2e.test_survival import MEME, OTHER, answers, begun, captioned_once, until
from tests.inference.fakes import promote, write_checkpoint

FIRST, SECOND = "Описание 1 из 2. Модель: fake.", "Описание 2 из 2. Модель: other."


@pytest_asyncio.fixture(loop_scope="module")
async def bot(sandbox: Sandbox, tmp_path: Path, bots: Bots) -> Any:
    """A bot with two models, of which the operator made a pair."""
    settings = fake_settings(tmp_path) | {"COMPARE_WITH": "other"}
    write_checkpoint(tmp_path / "models", "other", card="# Other\n\nВидит всё иначе.\n")
    async with running(sandbox, tmp_path, settings, bots=bots) as process:
        yield process


def checkpoints(bot: BotProcess) -> list[str]:
    """The checkpoint of every caption, in the order in which they were made."""
    with sqlite3.connect(f"file:{bot.folder}/bot.db?mode=ro", uri=True) as database:
        found = database.execute("select checkpoint from captions order by id").fetchall()
    database.close()
    return [checkpoint for (checkpoint,) in found]


async def two(sandbox: Sandbox, photo: Json) -> list[Json]:
    return await sandbox.wait_for(lambda: (found := answers(sandbox, photo))[1:] and found, 120)


async def test_a_checkpoint_is_replaced_while_pictures_are_queued(bot: BotProcess, sandbox: Sandbox) -> None:
    first = await sandbox.send_photo(jpeg_bytes(draw_meme("photo", width=200)))
    await captioned_once(sandbox, first)
    old = checkpoints(bot)[0]
    bot.gate.touch()
    queued = []
    for user in range(1, 7):
        picture = jpeg_bytes(draw_meme("photo", width=200 + 10 * user))
        queued.append(await sandbox.send_photo(picture, user=user))
    await sandbox.wait_for(lambda: len(sandbox.calls_of("download")) >= 6)
    await until(lambda: len(begun(bot)) >= 3)
    new = promote(bot.folder / "models", "fake", "better")
    later = [await sandbox.send_photo(one, user=9) for one in (MEME, OTHER)]
    bot.gate.unlink()
    for photo in (*queued, *later):
        await captioned_once(sandbox, photo)
    assert set(checkpoints(bot)) == {old, new}
    assert checkpoints(bot)[-1] == new
    assert len({one["pid"] for one in begun(bot)}) == 1, "the worker goes on"
    assert bot.process is not None and bot.process.returncode is None
    stats = await bot.command("stats")
    assert f"fake, checkpoint {old[:12]}\n" in stats and f"fake, checkpoint {new[:12]}\n" in stats


async def test_a_comparison_killed_in_the_middle_is_finished_once_and_in_order(
    bot: BotProcess, sandbox: Sandbox
) -> None:
    command = await sandbox.send_text("/compare")
    await sandbox.wait_for(lambda: answers(sandbox, command), 120)
    bot.gate.touch()
    photos = [await sandbox.send_photo(one) for one in (MEME, OTHER)]
    await until(lambda: begun(bot))
    await bot.kill()
    bot.gate.unlink()
    await bot.start()
    for photo in photos:
        await two(sandbox, photo)
    late = await sandbox.send_photo(jpeg_bytes(draw_meme("tweet", width=300)))
    await two(sandbox, late)
    for photo in (*photos, late):
        said = [message["text"].split("\n")[0] for message in answers(sandbox, photo)]
        assert said == [FIRST, SECOND]


async def test_a_person_at_the_page_compares_and_rates_both(chat: ChatPage, bot: BotProcess) -> None:
    await chat.write("/model")
    page = chat.replies.last
    await expect(page).to_contain_text("Видит всё иначе.", timeout=WAIT)
    await page.get_by_role("button", name="Сравнивать модели").click()
    await expect(page).to_contain_text("Сейчас: одно описание каждой картинки, от fake.", timeout=WAIT)
    await page.get_by_role("button", name="Сравнивать с other").click()
    await expect(page).to_contain_text("два описания каждой картинки, от fake и от other.", timeout=WAIT)

    await chat.attach(("meme.jpg", "image/jpeg", MEME))
    first, second = chat.replies.filter(has_text=FIRST), chat.replies.filter(has_text=SECOND)
    for reply, mark in ((first, "2 ★★ слабо"), (second, "5 ★★★★★ отлично")):
        await expect(reply).to_have_count(1, timeout=WAIT)
        await reply.get_by_role("button", name=mark).click()
    await expect(first).to_contain_text("Ваша оценка: 2 из 5", timeout=WAIT)
    await expect(second).to_contain_text("Ваша оценка: 5 из 5", timeout=WAIT)
    stats = await bot.command("stats")
    for name, mean in (("fake", "2.00"), ("other", "5.00")):
        (paragraph,) = [part for part in stats.split("\n\n") if part.startswith(f"{name}, checkpoint")]
        assert f"Marks: 1, by people: 1; mean {mean} out of 5" in paragraph

    await chat.write("/language")
    await chat.replies.last.get_by_role("button", name="English").click(timeout=WAIT)
    await expect(chat.replies.last).to_contain_text("I speak English with you", timeout=WAIT)
    await chat.write("/help")
    await expect(chat.replies.last).to_contain_text("How to use me", timeout=WAIT)
