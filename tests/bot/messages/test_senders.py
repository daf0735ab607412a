"""Whose a picture is: the person's who sent it decides, whoever asks about it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.app import App
from bot.feedback.commands import run_erase
from bot.feedback.database import StoreError
from bot.sandbox import Sandbox
from bot.sandbox.scene import GROUP
from bot.texts import sentences, texts
from tests.bot.conftest import (
    ANONYMOUS,
    TELEGRAM,
    Json,
    answer_to,
    caption_of,
    data_of,
    forget,
    in_the_name_of_a_chat,
    replies_to,
    reply_to,
    settled,
    until,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SENDER, ASKER, THIRD = 3001, 3002, 3003
REFUSED = texts("ru")(sentences.BUTTON_UNKNOWN)
NAME = "@meme_describer_bot"


def kept(app: App) -> list[Path]:
    return list(app.settings.data_dir.rglob("*.jpg"))


async def allow(app: App, *people: int) -> None:
    for person in people:
        await app.store.people.set_consent((await app.store.people.meet(person, language="ru")).id, True)


async def asked(app: App, sandbox: Sandbox, text: str = "/caption", *, by: int = ASKER) -> tuple[Json, Json]:
    """A picture that SENDER put into the group, and the description that somebody else asked for."""
    photo = await sandbox.send_photo(MEME, chat=GROUP, user=SENDER)
    await sandbox.send_text(text, chat=GROUP, user=by, reply_to=photo["message_id"])
    answer = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    return photo, answer


@pytest.mark.parametrize("text", ["/caption", f"что тут? {NAME}", f"/caption{NAME}", "/compare"])
@pytest.mark.parametrize("willing", [SENDER, ASKER])
async def test_the_senders_permission_decides(
    app: App, sandbox: Sandbox, willing: int, text: str, tmp_path: Path
) -> None:
    await allow(app, willing)
    if text == "/compare":
        write_checkpoint(tmp_path / "models", "other")
    await asked(app, sandbox, text)
    assert bool(kept(app)) is (willing == SENDER)


async def test_a_sender_who_never_wrote_is_not_written_down_and_can_erase_all_the_same(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    await allow(app, ASKER, THIRD)
    _, answer = await asked(app, sandbox)
    sandbox.press(answer["message_id"], data_of(answer, "r:"), user=THIRD)
    await sandbox.wait_for(lambda: "1 человек" in answer["text"])
    assert await app.store.people.find(SENDER) is None
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [cell for name in names for row in database.execute(f"SELECT * FROM {name}") for cell in row]
    assert SENDER not in cells and str(SENDER) not in cells
    assert not kept(app)
    await forget(sandbox, SENDER)
    assert "картинок: 1" in sandbox.messages(SENDER, by_bot=True)[-1]["text"]
    assert await app.store.captions.get(caption_of(answer)) is None
    assert (await app.store.reports.stats()).pictures == 0
    assert (await app.store.reports.stats()).jobs == {}
    pressed = sandbox.press(answer["message_id"], data_of(answer, "r:"), user=THIRD)
    assert (await answer_to(sandbox, pressed))["text"] == REFUSED


async def test_who_asked_erases_their_own_things_only(app: App, sandbox: Sandbox) -> None:
    await allow(app, SENDER, ASKER)
    _, answer = await asked(app, sandbox)
    caption_id = caption_of(answer)
    for person, mark in ((ASKER, 1), (THIRD, 5)):
        sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:{mark}"), user=person)
    await sandbox.wait_for(lambda: "2 человека" in answer["text"])
    await forget(sandbox, ASKER)
    assert "картинок: 0, оценок: 1" in sandbox.messages(ASKER, by_bot=True)[-1]["text"]
    assert await app.store.marks.mean_rating(caption_id) == (5.0, 1)
    assert len(kept(app)) == 1
    # The buttons go on working for the others, and the picture is still its sender's.
    pressed = sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:4"), user=THIRD)
    await answer_to(sandbox, pressed)
    assert await app.store.marks.mean_rating(caption_id) == (4.0, 1)
    await forget(sandbox, SENDER)
    assert await app.store.captions.get(caption_id) is None
    assert not kept(app)


async def test_taking_the_permission_back_reaches_what_others_asked_about(app: App, sandbox: Sandbox) -> None:
    await allow(app, SENDER, ASKER)
    _, answer = await asked(app, sandbox)
    assert len(kept(app)) == 1
    user = await app.store.people.find(SENDER)
    assert user is not None
    await app.store.people.set_consent(user.id, False)
    assert not kept(app)
    assert await app.store.captions.get(caption_of(answer)) is not None


async def test_what_somebody_else_sent_too_stays(app: App, sandbox: Sandbox) -> None:
    await allow(app, SENDER, THIRD)
    _, answer = await asked(app, sandbox)
    await reply_to(sandbox, await sandbox.send_photo(MEME, user=THIRD))
    await until(lambda: settled(app))
    await forget(sandbox, SENDER)
    assert await app.store.captions.get(caption_of(answer)) is not None
    assert len(kept(app)) == 1
    await forget(sandbox, THIRD)
    assert await app.store.captions.get(caption_of(answer)) is None
    assert not kept(app)


async def test_another_version_is_of_the_same_senders_picture(app: App, sandbox: Sandbox) -> None:
    await allow(app, ASKER, THIRD)
    photo, answer = await asked(app, sandbox)
    sandbox.press(answer["message_id"], data_of(answer, "v:"), user=THIRD)
    await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 2)
    await until(lambda: settled(app))
    assert not kept(app)
    await forget(sandbox, SENDER)
    assert (await app.store.reports.stats()).pictures == 0


async def test_an_erasure_stops_the_work_that_somebody_else_asked_for(app: App, sandbox: Sandbox) -> None:
    await allow(app, SENDER)
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME, chat=GROUP, user=SENDER)
    await sandbox.send_text("/caption", chat=GROUP, user=ASKER, reply_to=photo["message_id"])
    await sandbox.wait_for(lambda: gate.arrived)
    await forget(sandbox, SENDER)
    gate.release()
    assert app.captioning.unfinished == 0
    assert not replies_to(sandbox, photo)
    assert not kept(app)
    assert (await app.store.reports.stats()).pictures == 0


async def test_every_picture_of_an_album_is_its_senders(app: App, sandbox: Sandbox) -> None:
    sandbox.world.privacy = False
    await allow(app, ASKER)
    album = await sandbox.send_album([MEME, MEME], chat=GROUP, user=SENDER)
    await sandbox.send_text("/caption", chat=GROUP, user=ASKER, reply_to=album[1]["message_id"])
    await reply_to(sandbox, album[1])
    await until(lambda: settled(app))
    assert not kept(app)
    await allow(app, SENDER)
    await sandbox.send_album([MEME, MEME], chat=GROUP, user=SENDER, caption=NAME)
    await until(lambda: settled(app))
    await sandbox.wait_for(lambda: kept(app))


BY_SENDER = {"type": "user", "sender_user": {"id": SENDER, "is_bot": False, "first_name": "S"}}
BY_ADMIN = {"type": "user", "sender_user": {"id": ANONYMOUS, "is_bot": True, "first_name": "G"}}
BY_CHANNEL = {"type": "channel", "chat": {"id": -5, "type": "channel", "title": "K"}, "message_id": 1}


@pytest.mark.parametrize(
    ("origin", "willing", "keeps"),
    [
        (BY_SENDER, SENDER, True),
        (BY_SENDER, ASKER, False),
        ({"type": "hidden_user", "sender_user_name": "S"}, ASKER, False),
        (BY_CHANNEL, ASKER, False),
        (BY_ADMIN, ASKER, False),
    ],
)
async def test_a_picture_quoted_from_another_chat_is_of_whoever_sent_it_there(
    app: App, sandbox: Sandbox, *, origin: Json, willing: int, keeps: bool
) -> None:
    await allow(app, willing)
    elsewhere = await sandbox.send_photo(MEME, chat=GROUP - 5, user=SENDER)
    quoted = {"origin": {"date": 0} | origin, "photo": elsewhere["photo"]}
    asking = await sandbox.send_raw({"text": "/caption", "external_reply": quoted}, user=ASKER)
    assert (await reply_to(sandbox, asking))["text"].startswith("400 x")
    await until(lambda: settled(app))
    assert bool(kept(app)) is keeps


async def test_who_forwards_a_picture_sends_it(app: App, sandbox: Sandbox) -> None:
    await allow(app, ASKER)
    channel = {"id": -5, "type": "channel", "title": "K"}
    origin = {"type": "channel", "chat": channel, "message_id": 1, "date": 0}
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME, user=ASKER, forward_origin=origin))
    await until(lambda: settled(app))
    assert len(kept(app)) == 1
    await forget(sandbox, ASKER)
    assert await app.store.captions.get(caption_of(answer)) is None


async def test_a_channels_picture_outlives_whoever_asked_and_is_never_kept(
    app: App, sandbox: Sandbox
) -> None:
    await allow(app, ASKER)
    for account in (TELEGRAM, ANONYMOUS):
        photo = await in_the_name_of_a_chat(sandbox, account, GROUP, picture=MEME)
        await sandbox.send_text("/caption", chat=GROUP, user=ASKER, reply_to=photo["message_id"])
        answer = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    assert not kept(app)
    await forget(sandbox, ASKER)
    assert await app.store.captions.get(caption_of(answer)) is not None
    assert (await app.store.reports.stats()).jobs == {}


async def test_the_operator_erases_a_sender_who_never_wrote(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    _, answer = await asked(app, sandbox)
    url, data = f"sqlite+aiosqlite:///{tmp_path}/bot.db", app.settings.data_dir
    told = await asyncio.to_thread(run_erase, url, data, SENDER)
    assert told.startswith("Erased: 1 pictures")
    assert await app.store.captions.get(caption_of(answer)) is None
    for nobody in (SENDER + 100, ANONYMOUS, TELEGRAM):
        with pytest.raises(StoreError, match="check the id"):
            await asyncio.to_thread(run_erase, url, data, nobody)
