"""Pictures a day, and people and groups that are muted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select, update

from bot.app import App
from bot.config import Settings
from bot.feedback.commands import run_mute, run_unmute
from bot.feedback.tables import Usage, now
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from tests.bot.conftest import ADMIN, OTHER, data_of, forget, replies_to, reply_to, working
from tests.inference.fakes import picture

ASKED = "@meme_describer_bot"


def numbered(number: int) -> bytes:
    """A picture of its own."""
    return picture(size=(40 + number, 30))


async def told(sandbox: Sandbox, number: int, user: int = ME) -> str:
    """What is said to somebody's picture, in private."""
    sent = await sandbox.send_document(numbered(number), "a.png", user=user)
    return str((await reply_to(sandbox, sent))["text"])


async def yesterday(app: App) -> str:
    """What was counted today was counted on the day before, which is returned."""
    day = (now() - timedelta(days=1)).date().isoformat()
    async with app.store.sessions.transaction() as session:
        await session.execute(update(Usage).values(day=day))
    return day


async def test_a_person_has_so_many_pictures_a_day_whatever_happens_meanwhile(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    chosen = settings(pictures_a_day_person=2)
    async with working(chosen, sandbox):
        first = await reply_to(sandbox, await sandbox.send_document(numbered(1), "a.png"))
        sandbox.press(first["message_id"], data_of(first, "v:"))
        await sandbox.wait_for(lambda: len(sandbox.messages(by_bot=True)) == 2)  # another version is one more
        await forget(sandbox)
    async with working(chosen, sandbox) as app:  # a restart
        refused = await told(sandbox, 2)
        assert refused.startswith(
            "За день я описываю 2 картинки одного человека, считая вопросы, и на сегодня это всё."
        )
        assert "Продолжить можно через " in refused
        other = await reply_to(sandbox, await sandbox.send_document(numbered(3), "c.png", user=OTHER))
        assert other["text"].startswith("43 x 30")
        day = await yesterday(app)
        assert (await told(sandbox, 4)).startswith("44")
        async with app.store.sessions.reading() as session:  # of days before nothing is kept
            assert day not in (await session.scalars(select(Usage.day))).all()


async def test_a_group_and_everybody_have_so_many_pictures_a_day(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(pictures_a_day_group=1, pictures_a_day=2), sandbox):
        once = await sandbox.send_document(numbered(1), "a.png", chat=GROUP, caption=ASKED)
        assert (await reply_to(sandbox, once))["text"].startswith("41 x 30")
        twice = await sandbox.send_document(numbered(2), "b.png", chat=GROUP, user=OTHER, caption=ASKED)
        assert "1 картинку одной группы" in (await reply_to(sandbox, twice))["text"]
        # What was refused was not counted.
        assert (await told(sandbox, 3)).startswith("43")
        last = await reply_to(sandbox, await sandbox.send_document(numbered(4), "d.png", user=OTHER))
        assert "2 картинки для всех вместе" in last["text"]


async def test_an_update_that_comes_twice_is_counted_once(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(pictures_a_day_person=2), sandbox):
        photo = await sandbox.send_document(numbered(1), "a.png")
        await reply_to(sandbox, photo)
        sandbox.world.add_update("message", sandbox.world.public(photo))
        assert (await told(sandbox, 2)).startswith("42")


async def test_a_muted_person_gets_nothing_but_what_is_theirs(
    app: App, sandbox: Sandbox, settings: Callable[..., Settings]
) -> None:
    shown = await reply_to(sandbox, await sandbox.send_document(numbered(1), "a.png", user=OTHER))
    chosen = settings()
    said = await asyncio.to_thread(run_mute, chosen.database_url, chosen.data_dir, str(OTHER))
    assert said == f"Muted: {OTHER}."
    unheard = await sandbox.send_document(numbered(2), "b.png", user=OTHER)
    spoken = await sandbox.send_text("/start", user=OTHER)
    sandbox.press(shown["message_id"], data_of(shown, "r:"), user=OTHER)
    # Handled behind those before it.
    page = await reply_to(sandbox, await sandbox.send_text("/privacy", user=OTHER))
    sandbox.press(page["message_id"], data_of(page, "p:"), user=OTHER)
    await sandbox.wait_for(lambda: "Сейчас: вы разрешаете" in sandbox.messages(OTHER)[-1]["text"])
    assert (await app.store.reports.stats()).models[0].ratings == 0
    await forget(sandbox, OTHER)
    assert not replies_to(sandbox, unheard) and not replies_to(sandbox, spoken)
    await asyncio.to_thread(run_unmute, chosen.database_url, chosen.data_dir, str(OTHER))
    assert (await told(sandbox, 3, OTHER)).startswith("43")


async def test_operators_mute_in_the_chat(app: App, sandbox: Sandbox) -> None:
    async def say(text: str, user: int = ADMIN) -> str:
        return str((await reply_to(sandbox, await sandbox.send_text(text, user=user)))["text"])

    assert await say("/mute") == "Отвечаю всем."
    assert "Напишите после команды номер" in await say("/mute кота")
    assert "больше не отвечаю" in await say(f"/mute {GROUP}")
    assert await say("/mute") == f"Не отвечаю: {GROUP}."
    unheard = await sandbox.send_document(numbered(1), "a.png", chat=GROUP, caption=ASKED)
    assert (await told(sandbox, 2)).startswith("42")
    assert "снова отвечаю" in await say(f"/unmute {GROUP}")
    assert "и так отвечаю" in await say(f"/unmute {GROUP}")
    assert "Напишите после команды номер" in await say("/unmute")
    assert not replies_to(sandbox, unheard)
    assert "не знаю" in (await say("/mute 5", OTHER)).lower()  # for others there is no such command
