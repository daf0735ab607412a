"""Forged presses and answers: whatever is pressed or answered elsewhere tells nothing and writes nothing."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiogram import Router
from aiogram.methods import SendMessage
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup

from bot.app import App
from bot.config import Settings
from bot.feedback.database import StoreError
from bot.feedback.messages import MessageKey
from bot.messages.buttons import read_button
from bot.middlewares.buttons import what_is_shown
from bot.middlewares.throttle import ThrottleMiddleware
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP, buttons
from bot.sandbox.world import CallbackState
from bot.texts import sentences, texts
from tests.bot.conftest import (
    OTHER,
    Json,
    answer_to,
    caption_of,
    data_of,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SECOND = jpeg_bytes(draw_meme("two_frames", width=400))
REFUSED = texts("ru")(sentences.BUTTON_UNKNOWN)
SECOND_GROUP = GROUP - 1
KINDS = ("r:", "c:", "v:", "w:", "s:", "p:", "p:start", "f:0", "f:1", "m:", "x:", "l:")
LOUD = ("sendMessage", "editMessageText", "editMessageReplyMarkup", "deleteMessage", "sendDocument")


@pytest.fixture
async def app(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[App]:
    """A bot with two models that lets people press as fast as they like."""
    write_checkpoint(tmp_path / "models", "other")
    monkeypatch.setenv("FAKE_WORDS", "слово " * 50)  # more than a button copies
    monkeypatch.setattr("bot.app.ThrottleMiddleware", partial(ThrottleMiddleware, burst=100_000))
    sandbox.user(OTHER, first_name="Чужой", language_code="ru")
    async with working(settings(), sandbox) as running:
        yield running


def everything(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with closing(sqlite3.connect(folder / "bot.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


async def change(folder: Path, statement: str, *values: object) -> None:
    """What a kill, or an older version of the bot, would have left in the database."""

    def run() -> None:
        with closing(sqlite3.connect(folder / "bot.db", timeout=60)) as database, database:
            database.execute(statement, values)

    await asyncio.to_thread(run)  # the bot in this process may be writing


# Pages that turn into each other, or are about the same: whoever may press one thing may press the other.
ONE_PAGE = ({"m:", "x:"}, {"p:", "f:0", "f:1"})


def kind_of(data: str) -> str:
    if data.startswith("f:"):
        return data[:3]
    return "p:start" if ":start:" in data else data[:2]


@dataclass
class Shown:
    """The bot's messages to one person, and one button of every kind with the message it stands under."""

    messages: list[Json] = field(default_factory=list)

    def under(self, kind: str) -> tuple[Json, str]:
        return next(
            (message, button["callback_data"])
            for message in self.messages
            for button in buttons(message)
            if kind_of(button["callback_data"]) == kind
        )


async def shown_to(
    app: App, sandbox: Sandbox, tmp_path: Path, *, person: int, picture: bytes, chat: int | None = None
) -> Shown:
    """Everything with buttons that the bot sends: a description, the note about one, and the pages."""
    at = "" if chat is None else "@meme_describer_bot"
    shown = Shown()
    photo = await sandbox.send_photo(picture, caption=at, user=person, chat=chat)
    shown.messages.append(await reply_to(sandbox, photo))
    await until(lambda: settled(app))
    # As a kill in the very moment of the reply leaves it: the next start sends the note.
    second = await sandbox.send_photo(picture, caption=at, user=person, chat=chat)
    await reply_to(sandbox, second)
    await until(lambda: settled(app))
    await change(
        tmp_path,
        "UPDATE jobs SET state = 'working', reply_message_id = NULL WHERE message_id = ?",
        second["message_id"],
    )
    await app.captioning.resume()
    shown.messages += await sandbox.wait_for(
        lambda: [one for one in replies_to(sandbox, second) if "дошёл ли мой ответ" in one["text"]]
    )
    await until(lambda: settled(app))
    for command in (
        "/privacy",
        "/forget",
        "/model",
        "/compare other",
        "/language",
        *([] if chat else ["/start"]),
    ):
        name, *rest = command.split()
        before = len(sandbox.messages(chat or person, by_bot=True))
        await sandbox.send_text(" ".join((name + at, *rest)), user=person, chat=chat)
        shown.messages += await sandbox.wait_for(partial(said_since, sandbox, chat or person, before))
    await until(lambda: written_down(app, shown.messages))
    await change(tmp_path, "UPDATE users SET compare_with = NULL")
    return shown


def said_since(sandbox: Sandbox, chat: int, before: int) -> list[Json]:
    """The bot's messages in a chat but its first so many."""
    return sandbox.messages(chat, by_bot=True)[before:]


async def written_down(app: App, messages: list[Json]) -> bool:
    rows = [
        await app.store.messages.find(MessageKey.of(one["chat"]["id"], one["message_id"])) for one in messages
    ]
    return all(row is not None for row in rows)


def inline(sandbox: Sandbox, user: int, data: str) -> CallbackState:
    """A press under a message that was sent by way of the bot into some chat."""
    query: Json = {
        "id": str(secrets.randbits(62)),
        "from": dict(sandbox.user(user)),
        "inline_message_id": "BAAAAAinline",
        "chat_instance": "1",
        "data": data,
    }
    state = CallbackState(query)
    sandbox.world.callbacks[query["id"]] = state
    sandbox.world.add_update("callback_query", query)
    return state


def loud(sandbox: Sandbox) -> int:
    return sum(len(sandbox.calls_of(method)) for method in LOUD)


async def test_no_press_elsewhere_tells_or_writes_anything(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Every kind of button, pressed in every place where it was not shown."""
    mine = await shown_to(app, sandbox, tmp_path, person=ME, picture=MEME)
    theirs = await shown_to(app, sandbox, tmp_path, person=OTHER, picture=SECOND)
    ours = await shown_to(app, sandbox, tmp_path, person=ME, picture=MEME, chat=GROUP)
    second_group = await shown_to(app, sandbox, tmp_path, person=OTHER, picture=SECOND, chat=SECOND_GROUP)
    before, said = everything(tmp_path), loud(sandbox)
    number = caption_of(mine.messages[0])

    presses: dict[tuple[str, str], CallbackState] = {}

    def press(place: str, message: Json, data: str, user: int) -> None:
        presses[place, data] = sandbox.press(
            message["message_id"], data, user=user, chat=message["chat"]["id"], stale=True
        )

    for kind in KINDS:
        message, data = mine.under(kind)
        body, _, signature = data.rpartition(":")
        same, foreign = theirs.under(kind)
        # A stranger, in the own chat: under a message of the same kind, and under each of the others.
        for other in theirs.messages:
            press(f"stranger's {other['message_id']}", other, data, OTHER)
        # A stranger, under the message itself, which is in a private chat.
        press("stranger under the very message", message, data, OTHER)
        # In groups: a description and pages of other people, or of one's own.
        for other in (*ours.messages, *second_group.messages):
            press(f"group {other['message_id']}", other, data, ME)
            press(f"group {other['message_id']} by a stranger", other, data, OTHER)
        # In the same chat, under every message that shows something else.
        for other in mine.messages:
            under = {kind_of(button["callback_data"]) for button in buttons(other)}
            if not any(kind in page and page & under for page in ({kind}, *ONE_PAGE)):
                press(f"same chat {other['message_id']}", other, data, ME)
        presses["inline", data] = inline(sandbox, ME, data)
        presses["inline by a stranger", data] = inline(sandbox, OTHER, data)
        # Under the very message, by its own person: without a signature, with a wrong one, another one's.
        wrong = "A" if signature[0] != "A" else "B"
        for forged in (
            body,
            f"{body}:{wrong}{signature[1:]}",
            f"{body}:{signature[:-1]}",
            f"{body}:{foreign.rpartition(':')[2]}",
            foreign,
        ):
            press("forged", message, forged, ME)
            press("forged", same, forged if forged != foreign else data, OTHER)
    for kind in (kind for kind in KINDS if kind != "p:start"):
        # In a group a page is whose it was asked by; a description and the note are everybody's there.
        message, data = ours.under(kind)
        if kind in ("p:", "f:0", "f:1", "m:", "x:", "l:"):
            press("another's page", message, data, OTHER)
        for other in second_group.messages:
            press(f"group {other['message_id']} by a member", other, data, OTHER)
    # Small numbers, of captions that there are and of those there are not: the same sentence.
    for guess in range(1, number + 5):
        for data in (f"s:{guess}", f"s:{guess}:{guess}", f"r:{guess}:1", f"v:{guess}", f"c:{guess}"):
            press("guessed", theirs.messages[0], data, OTHER)
            press("guessed in a group", ours.messages[0], data, OTHER)

    await sandbox.wait_for(lambda: all(one.answer is not None for one in presses.values()))
    answers = {place: one.answer["text"] for place, one in presses.items() if one.answer is not None}
    assert answers == dict.fromkeys(presses, REFUSED)
    assert loud(sandbox) == said
    assert everything(tmp_path) == before
    assert len(presses) > 300


@pytest.mark.parametrize("chat", [None, GROUP], ids=["private", "group"])
async def test_every_button_works_under_the_message_that_shows_it(
    app: App, sandbox: Sandbox, tmp_path: Path, chat: int | None
) -> None:
    """Whose the row is, and whether it was written before the bot was killed: so the table above can fail."""
    shown = await shown_to(app, sandbox, tmp_path, person=ME, picture=MEME, chat=chat)
    for lost in (False, True):
        for kind in (kind for kind in KINDS if chat is None or kind != "p:start"):
            if kind == "f:1":
                continue  # nothing would be left: see tests/bot/test_forget.py
            if lost and kind in ("s:", "f:0"):
                continue  # pressed already, and something else has taken its place
            message, data = shown.under(kind)
            if lost:  # killed after the message was sent, before its row was written
                await change(
                    tmp_path, "DELETE FROM shown_messages WHERE message_id = ?", message["message_id"]
                )
            pressed = sandbox.press(message["message_id"], data, chat=chat)
            assert (await answer_to(sandbox, pressed))["text"] != REFUSED, kind
            if kind not in ("s:", "f:0"):
                await until(partial(written_down, app, [message]))


async def test_a_page_without_a_row_is_still_its_own_persons(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    asked = await sandbox.send_text("/language@meme_describer_bot", chat=GROUP)
    page = await reply_to(sandbox, asked)
    await until(lambda: written_down(app, [page]))
    await change(tmp_path, "DELETE FROM shown_messages")
    before = everything(tmp_path)
    pressed = sandbox.press(page["message_id"], data_of(page, "l:en"), chat=GROUP, user=OTHER)
    assert (await answer_to(sandbox, pressed))["text"] == REFUSED
    assert everything(tmp_path) == before
    pressed = sandbox.press(page["message_id"], data_of(page, "l:en"), chat=GROUP)
    await answer_to(sandbox, pressed)
    user = await app.store.people.find(ME)
    assert user is not None and user.language == "en"


async def test_a_stranger_is_not_written_down_for_a_press_that_does_not_count(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    answer = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    before = everything(tmp_path)
    sandbox.user(5_000, first_name="New", language_code="en")
    forged = sandbox.press(answer["message_id"], "r:1:5", user=5_000, stale=True)
    await sandbox.wait_for(lambda: forged.answer)
    assert forged.answer is not None
    assert forged.answer == {"text": texts("en")(sentences.BUTTON_UNKNOWN), "show_alert": True}
    assert everything(tmp_path) == before
    # Whoever presses what is there rates it.
    sandbox.press(answer["message_id"], data_of(answer, "r:"), user=5_000)
    await until(lambda: app.store.people.find(5_000))


async def test_no_handler_can_be_registered_around_the_gate(app: App, sandbox: Sandbox) -> None:
    """Neither before all routers, nor in one of them, nor in a new one, whatever its filters."""
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    await until(lambda: settled(app))
    reached: list[str | None] = []

    async def catch(callback: CallbackQuery) -> None:
        reached.append(callback.data)
        await callback.answer("caught")

    rogue = Router(name="rogue")
    rogue.callback_query.register(catch)
    app.dispatcher.include_router(rogue)
    app.dispatcher.sub_routers[3].callback_query.register(catch)
    app.dispatcher.callback_query.register(catch)
    number = caption_of(answer)
    for data in (f"r:{number}:5", f"s:{number}", "", "anything", f"c:{number}:{'A' * 16}", "p:1:1", "l:en"):
        pressed = sandbox.press(answer["message_id"], data, stale=True)
        assert (await answer_to(sandbox, pressed))["text"] == REFUSED
    assert not reached
    pressed = sandbox.press(answer["message_id"], data_of(answer, "c:"))
    await answer_to(sandbox, pressed)
    assert reached == [data_of(answer, "c:")]


async def test_no_button_goes_out_that_the_gate_does_not_know(app: App) -> None:
    for data in (["x"], ["r:1:6"], ["r:1:5", "r:2:5"], ["p:1:7", "p:1:start:7"]):
        keyboard = InlineKeyboardMarkup(
            inline_keyboard=[[InlineKeyboardButton(text="a", callback_data=one) for one in data]]
        )
        with pytest.raises(ValueError, match="button"):
            what_is_shown(keyboard)
        with pytest.raises(ValueError, match="button"):
            await app.bot(SendMessage(chat_id=ME, text="a", reply_markup=keyboard))


@pytest.mark.parametrize(
    "body",
    [
        *("", "r", "r:", "r:1", "r:1:0", "r:1:6", "r:-1:5", "r:1:5:", "r:¹:5", "r:٣:5", "v:1:2:3", "s:x"),
        *(
            "p:2:1",
            "p:1",
            "p:1:end:2",
            "f:2:1",
            "f:1",
            "m:p",
            "m:XYZ:1",
            "l:de:1",
            "l:ru",
            f"c:{'9' * 19}",
            "c:1\n",
            "\nc:1",
        ),
    ],
)
def test_what_is_no_button_is_none(body: str) -> None:
    assert read_button(body) is None


async def test_a_row_that_cannot_be_written_costs_no_button(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(app.store.messages, "show", broken)
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        await until(lambda: settled(app))
    place = MessageKey.of(ME, answer["message_id"])
    assert await app.store.messages.find(place) is None
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_of(answer)}:4"))
    await sandbox.wait_for(lambda: "Ваша оценка: 4" in answer["text"])
    row = await app.store.messages.find(place)
    assert row is not None and (row.kind, row.caption_id) == ("caption", caption_of(answer))


async def test_a_press_whose_message_telegram_does_not_show_needs_the_row(app: App, sandbox: Sandbox) -> None:
    """Of an old message Telegram tells the number only."""
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    await until(lambda: settled(app))

    def press(message_id: int) -> CallbackState:
        state = sandbox.press(answer["message_id"], data_of(answer, "r:"))
        bare = {"chat": answer["chat"], "message_id": message_id, "date": 0}
        state.query["message"] = bare
        sandbox.world.updates[-1]["callback_query"]["message"] = bare
        return state

    there, gone = press(answer["message_id"]), press(answer["message_id"] + 1)
    await sandbox.wait_for(lambda: there.answer and gone.answer)
    assert there.answer is not None and gone.answer is not None
    assert there.answer["text"] == "Ваша оценка: 1 из 5"
    assert gone.answer["text"] == REFUSED


async def test_buttons_from_before_signatures_work_under_their_own_message_only(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    other = await reply_to(sandbox, await sandbox.send_photo(SECOND))
    await until(lambda: settled(app))
    await change(
        tmp_path, "UPDATE shown_messages SET unsigned = 1 WHERE message_id = ?", answer["message_id"]
    )
    number, foreign = caption_of(answer), caption_of(other)
    before = everything(tmp_path)
    for message, data in ((other, f"r:{foreign}:5"), (other, f"r:{number}:5"), (answer, f"r:{foreign}:5")):
        pressed = sandbox.press(message["message_id"], data, stale=True)
        assert (await answer_to(sandbox, pressed))["text"] == REFUSED
    assert everything(tmp_path) == before
    sandbox.press(answer["message_id"], f"r:{number}:5", stale=True)
    await sandbox.wait_for(lambda: "Ваша оценка: 5" in answer["text"])
    # The edit has put new buttons there, which count as well; so do old ones of a client that lags behind.
    sandbox.press(answer["message_id"], data_of(answer, f"r:{number}:2"))
    await sandbox.wait_for(lambda: "Ваша оценка: 2" in answer["text"])
    sandbox.press(answer["message_id"], f"c:{number}", stale=True)
    await reply_to(sandbox, answer)


async def test_a_group_that_moves_while_the_reply_is_sent_has_buttons_that_work(
    app: App, sandbox: Sandbox
) -> None:
    old, new = -556, -1_009_998
    gate = sandbox.hold("download")
    await sandbox.send_photo(MEME, chat=old, caption="@meme_describer_bot")
    await sandbox.wait_for(lambda: gate.arrived)
    sandbox.world.group(new, "Мемы")
    sandbox.world.chats[old].migrated_to = new
    gate.release()
    (answer,) = await sandbox.wait_for(lambda: sandbox.messages(new, by_bot=True))
    pressed = sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_of(answer)}:5"), chat=new)
    assert (await answer_to(sandbox, pressed))["text"] == "Ваша оценка: 5 из 5"


# --- answers to prompts ---


def forged_answer(sandbox: Sandbox, user: int, chat: int, prompt: Json, **changes: Any) -> Json:
    """A message that says it answers the prompt, although its chat holds no such message, or another one."""
    answered = sandbox.world.public(prompt) | {"chat": sandbox.world.chats[chat].info}
    message: Json = {
        "message_id": prompt["message_id"] + 10_000 + secrets.randbelow(10_000),
        "from": dict(sandbox.user(user)),
        "chat": dict(sandbox.world.chats[chat].info),
        "date": prompt["date"],
        "text": "чужое исправление",
        "reply_to_message": answered,
    } | changes
    return message


async def test_an_answer_counts_only_for_its_own_prompt_and_its_own_person(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    for person, picture in ((ME, MEME), (OTHER, SECOND)):
        await reply_to(sandbox, await sandbox.send_photo(picture, user=person))
    private = sandbox.messages(ME, by_bot=True)[0]
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    group = await reply_to(sandbox, photo)
    prompts = []
    for answer in (private, group):
        sandbox.press(answer["message_id"], data_of(answer, "c:"), chat=answer["chat"]["id"])
        prompts.append(await reply_to(sandbox, answer))
    await until(lambda: written_down(app, prompts))
    await until(lambda: settled(app))
    sandbox.world.group(SECOND_GROUP, "Другая")
    before = everything(tmp_path)
    in_private, in_group = prompts
    for kind in ("message", "edited_message"):
        for prompt, user, chat in (
            (in_private, OTHER, OTHER),  # the number of a message in another private chat
            (in_private, ME, GROUP),
            (in_private, OTHER, SECOND_GROUP),
            (in_group, OTHER, GROUP),  # asked of somebody else
            (in_group, OTHER, OTHER),
            (in_group, ME, ME),
            (in_group, ME, SECOND_GROUP),
        ):
            sandbox.world.add_update(kind, forged_answer(sandbox, user, chat, prompt))
        # The message that is answered is another one of the same chat; or somebody else's message.
        sandbox.world.add_update(kind, forged_answer(sandbox, ME, ME, private))
        by_person = in_group | {"from": dict(sandbox.user(OTHER))}
        sandbox.world.add_update(kind, forged_answer(sandbox, ME, GROUP, by_person))
        # Quoted from another chat.
        quoted = forged_answer(sandbox, OTHER, OTHER, in_private)
        del quoted["reply_to_message"]
        origin = {"type": "user", "date": 0, "sender_user": sandbox.world.bot}
        chat_of = {"chat": sandbox.world.chats[ME].info, "message_id": in_private["message_id"]}
        sandbox.world.add_update(kind, quoted | {"external_reply": {"origin": origin} | chat_of})
    # What comes after all of them is answered after all of them were handled.
    for person in (ME, OTHER):
        await reply_to(sandbox, await sandbox.send_text("/help@x", user=person))
        last = await sandbox.send_text("привет", user=person)
        await reply_to(sandbox, last)
    assert everything(tmp_path) == before
    said = [one for chat in (ME, OTHER, GROUP, SECOND_GROUP) for one in sandbox.messages(chat, by_bot=True)]
    assert not any("сохранено" in one["text"] or "изменено" in one["text"] for one in said)
    # The person who was asked, in the right place, is heard.
    for prompt in prompts:
        chat = prompt["chat"]["id"]
        written = await sandbox.send_text("Рыжий кот", chat=chat, reply_to=prompt["message_id"])
        assert "сохранено" in (await reply_to(sandbox, written))["text"]
    assert [row[-2] for row in everything(tmp_path)["corrections"]] == ["Рыжий кот", "Рыжий кот"]
