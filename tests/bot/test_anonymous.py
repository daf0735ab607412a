"""Accounts of Telegram's own are no people: what is written through them belongs to one chat only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.app import App
from bot.common.accounts import SERVICE_ACCOUNTS
from bot.config import OperatorError, Settings, load_settings
from bot.handlers.anonymous import PERSONAL
from bot.sandbox import ME, Sandbox
from bot.texts import sentences, texts
from tests.bot.conftest import (
    ANONYMOUS,
    AS_CHANNEL,
    OTHER,
    TELEGRAM,
    answer_to,
    caption_of,
    data_of,
    in_the_name_of_a_chat,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import PLAIN, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SECOND = jpeg_bytes(draw_meme("two_frames", width=400))
ONE, TWO = -1_001_000_000_002, -1_001_000_000_003
NAME = "@meme_describer_bot"
REFUSED = texts("ru")(sentences.ANONYMOUS)
every_account = pytest.mark.parametrize("account", [ANONYMOUS, AS_CHANNEL, TELEGRAM])


@every_account
async def test_forgetting_in_one_group_erases_nothing_of_another(
    app: App, sandbox: Sandbox, account: int
) -> None:
    await reply_to(sandbox, await in_the_name_of_a_chat(sandbox, account, ONE, NAME, picture=MEME))
    answer = await reply_to(sandbox, await in_the_name_of_a_chat(sandbox, account, TWO, NAME, picture=SECOND))
    await until(lambda: settled(app))
    caption_id = caption_of(answer)
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"), user=77)
    await until(lambda: app.store.people.find(77))
    await sandbox.wait_for(lambda: "1 человек" in answer["text"])
    forget = await in_the_name_of_a_chat(sandbox, account, ONE, f"/forget{NAME}")
    assert (await reply_to(sandbox, forget))["text"] == REFUSED
    pressed = sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"), user=78)
    assert (await answer_to(sandbox, pressed))["text"] == "Ваша оценка: 5 из 5"
    assert await app.store.marks.mean_rating(caption_id) == (5.0, 2)


@every_account
async def test_what_only_a_person_can_do_is_refused_in_one_sentence(
    app: App, sandbox: Sandbox, account: int
) -> None:
    for name in PERSONAL:
        asked = await in_the_name_of_a_chat(sandbox, account, ONE, f"/{name}{NAME}")
        assert (await reply_to(sandbox, asked))["text"] == REFUSED
    named = await in_the_name_of_a_chat(sandbox, account, ONE, f"/model{NAME} fake")
    assert (await reply_to(sandbox, named))["text"] == REFUSED
    photo = await sandbox.send_photo(MEME, chat=ONE, user=OTHER)
    compared = await in_the_name_of_a_chat(
        sandbox, account, ONE, f"/compare{NAME}", reply_to=photo["message_id"]
    )
    assert (await reply_to(sandbox, compared))["text"] == REFUSED
    assert await app.store.people.find(account) is None
    chat = await app.store.people.find(ONE)
    assert chat is not None
    assert (chat.model, chat.compare_with, chat.consent, chat.language_chosen) == (None, None, False, False)
    assert (await app.store.reports.stats()).users == 0


async def test_what_concerns_everybody_is_answered(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, chat=ONE, user=OTHER)
    await in_the_name_of_a_chat(sandbox, ANONYMOUS, ONE, "/caption", reply_to=photo["message_id"])
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
    await in_the_name_of_a_chat(sandbox, ANONYMOUS, ONE, f"/help{NAME}")
    await sandbox.wait_for(lambda: any("Команды" in one.get("text", "") for one in sandbox.messages(ONE)))


async def test_an_answer_to_a_prompt_needs_a_person(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, chat=ONE, caption=NAME)
    answer = await reply_to(sandbox, photo)
    sandbox.press(answer["message_id"], data_of(answer, "c:"))
    prompt = await reply_to(sandbox, answer)
    written = await in_the_name_of_a_chat(sandbox, ANONYMOUS, ONE, "Кот", reply_to=prompt["message_id"])
    assert (await reply_to(sandbox, written))["text"] == REFUSED
    assert [item async for item in app.store.reports.feedback()] == []


@every_account
async def test_limits_are_of_one_chat(
    settings: Callable[..., Settings], sandbox: Sandbox, account: int
) -> None:
    async with working(settings(per_user_queue=1), sandbox):
        gate = sandbox.hold("download")
        first = await in_the_name_of_a_chat(sandbox, account, ONE, NAME, picture=MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        more = await in_the_name_of_a_chat(sandbox, account, ONE, NAME, picture=SECOND)
        assert "Я ещё работаю" in (await reply_to(sandbox, more))["text"]
        # As fast as may be, in the one chat.
        for _ in range(30):
            last = await in_the_name_of_a_chat(sandbox, account, ONE, f"/model{NAME}")
        too_fast = texts("ru")(sentences.TOO_FAST)
        await sandbox.wait_for(lambda: any(one.get("text") == too_fast for one in sandbox.messages(ONE)))
        other = await in_the_name_of_a_chat(sandbox, account, TWO, f"/model{NAME}")
        assert (await reply_to(sandbox, other))["text"] == REFUSED
        theirs = await in_the_name_of_a_chat(sandbox, account, TWO, NAME, picture=picture(PLAIN, (50, 40)))
        await sandbox.wait_for(lambda: gate.arrived == 2)
        gate.release()
        assert (await reply_to(sandbox, first))["text"].startswith("400 x")
        assert (await reply_to(sandbox, theirs))["text"].startswith("50 x")
        assert last["text"]


@every_account
async def test_nothing_written_in_the_name_of_a_chat_is_kept(
    app: App, sandbox: Sandbox, tmp_path: Path, account: int
) -> None:
    """Also where an older version wrote the account down as a person who allowed it."""
    row = await app.store.people.meet(account, language="ru")
    await app.store.people.set_consent(row.id, True)
    willing = await app.store.people.meet(ME, language="ru")
    await app.store.people.set_consent(willing.id, True)
    photo = await in_the_name_of_a_chat(sandbox, account, ONE, NAME, picture=MEME)
    await reply_to(sandbox, photo)
    # Nor when somebody asks who lets their own pictures be kept.
    second = await in_the_name_of_a_chat(sandbox, account, TWO, picture=SECOND)
    await sandbox.send_text("/caption", chat=TWO, reply_to=second["message_id"])
    await reply_to(sandbox, second)
    await until(lambda: settled(app))
    assert not list(app.settings.data_dir.rglob("*.jpg"))
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        assert database.execute("SELECT DISTINCT sender, keeps FROM sendings").fetchall() == [("", 0)]


async def test_a_press_by_an_account_of_telegrams_own_does_not_count(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, chat=ONE, caption=NAME)
    answer = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    for account in SERVICE_ACCOUNTS:
        pressed = sandbox.press(answer["message_id"], data_of(answer, "r:"), user=account)
        assert (await answer_to(sandbox, pressed))["text"] == texts("ru")(sentences.BUTTON_UNKNOWN)
        assert await app.store.people.find(account) is None
    assert await app.store.marks.mean_rating(caption_of(answer)) == (None, 0)


@pytest.mark.parametrize("ids", ["1087968824", "5,136817688", "777000 5", "-1001234567890", "0"])
def test_operators_are_people(ids: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIN_IDS", ids)
    with pytest.raises(
        OperatorError, match=r"ADMIN_IDS: -?\d+ is .*name the operators by the ids of their own"
    ):
        load_settings()
    monkeypatch.setenv("ADMIN_IDS", "5, 6")
    assert load_settings().admin_ids == {5, 6}
