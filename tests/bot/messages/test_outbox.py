"""What is said for a picture goes where it was asked for: a topic, direct messages, a business chat."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import bot
from bot.app import App
from bot.config import Settings
from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import Call
from bot.sandbox.scene import GROUP
from tests.bot.conftest import Json, data_of, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import PLAIN, WAIT, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
NAME = "@meme_describer_bot"
SAYING = {"sendmessage", "sendchataction", "senddocument"}

_OUTGOING = ("send_", "answer_", "reply_", "edit_", "delete_", "copy_", "forward_", "pin_", "stop_")
_NO_MESSAGE = {"answer_callback_query", "answer_lost", "delete_webhook"}


def said_by(sandbox: Sandbox) -> list[Call]:
    """Every call that shows something in a chat."""
    return [call for call in sandbox.calls if call.method.lower() in SAYING]


def _sends(source: str) -> Iterator[str]:
    """What a module calls to send, change or delete a message by aiogram itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            ours = owner in ("outbox", "self._store", "store")
            plain = name in ("answer", "reply") and not owner.startswith(("callback", "event"))
            if not ours and name not in _NO_MESSAGE and (name.startswith(_OUTGOING) or plain):
                yield f"{owner}.{name}"


def test_nothing_but_the_outbox_sends_messages() -> None:
    """So nobody can forget the topic. What the check finds in the outbox itself proves that it finds any."""
    folder = Path(bot.__file__).parent
    found = {
        path.relative_to(folder).as_posix(): sorted(set(_sends(path.read_text())))
        for path in folder.rglob("*.py")
        if "sandbox" not in path.parts
    }
    assert {name for name, sends in found.items() if sends} == {"messages/outbox.py"}
    assert found["messages/outbox.py"] == [
        "bot.delete_business_messages",
        "bot.delete_message",
        "bot.edit_message_text",
        "bot.send_chat_action",
        "bot.send_document",
        "bot.send_message",
    ]


async def test_a_picture_deleted_in_a_topic_is_answered_in_that_topic(app: App, sandbox: Sandbox) -> None:
    """In a forum allow_sending_without_reply counts for nothing: the answer is sent again without it."""
    thread = sandbox.topic()
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=thread)
    await sandbox.wait_for(lambda: gate.arrived and sandbox.calls_of("sendChatAction"))
    del sandbox.world.chats[GROUP].messages[photo["message_id"]]
    gate.release()
    (answer,) = await sandbox.wait_for(lambda: sandbox.messages(GROUP, by_bot=True))
    assert answer["text"].startswith("400 x")
    assert (answer["message_thread_id"], answer.get("reply_to_message")) == (thread, None)
    assert {str(call.params["message_thread_id"]) for call in said_by(sandbox)} == {str(thread)}
    assert [call.status for call in sandbox.calls_of("sendMessage")] == [400, 200]
    await until(lambda: settled(app))


async def test_all_that_is_said_for_a_picture_in_a_topic_is_said_there(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The notice of the queue, the parts of a long description, other versions, prompts, thanks, refusals."""
    how: Json = {"chat": GROUP, "thread": sandbox.topic()}
    other = sandbox.topic()

    def all_said(*words: str) -> bool:
        texts = "\n".join(one["text"] for one in sandbox.messages(GROUP, by_bot=True))
        return all(word in texts for word in words)

    changes = {
        "captioner": "tests.bot.captioners:load_talkative",
        "queue_notice": 1,
        "per_user_limit": 1,
        "per_user_queue": 2,
    }
    async with working(settings(**changes), sandbox) as app:
        for colour in (WAIT, PLAIN, PLAIN):
            last = await sandbox.send_document(picture(colour), "a.png", caption=NAME, **how)
        await sandbox.wait_for(lambda: all_said("в очереди", "ещё работаю над"))
        (tmp_path / "gate").touch()
        await sandbox.wait_for(
            lambda: sum("reply_markup" in one for one in sandbox.messages(GROUP, by_bot=True)) == 2
        )
        answer = next(one for one in sandbox.messages(GROUP, by_bot=True) if "reply_markup" in one)
        sandbox.press(answer["message_id"], data_of(answer, "v:"))
        await sandbox.wait_for(
            lambda: sum("reply_markup" in one for one in sandbox.messages(GROUP, by_bot=True)) == 3
        )
        sandbox.press(answer["message_id"], data_of(answer, "c:"))
        prompt = await reply_to(sandbox, answer)
        await sandbox.send_text("Кот", reply_to=prompt["message_id"], **how)
        await sandbox.send_video(b"video", caption=NAME, **how)
        await sandbox.send_text(f"/caption{NAME}", **how)
        await sandbox.send_text(f"/help{NAME}", **how)
        await sandbox.send_text(f"/caption{NAME}", reply_to=last["message_id"], **how)
        await sandbox.wait_for(
            lambda: all_said("сохранено", "не умею описывать видео", "нет картинки", "Как мной пользоваться")
        )
        await until(lambda: settled(app))
    said = sandbox.messages(GROUP, by_bot=True)
    assert len(said) > 10
    assert {one.get("message_thread_id") for one in said} == {how["thread"]}
    assert {call.params.get("message_thread_id") for call in said_by(sandbox)} <= {
        how["thread"],
        str(how["thread"]),
    }
    assert all(call.status == 200 for call in said_by(sandbox))
    assert other not in {one.get("message_thread_id") for one in said}


def replied(sandbox: Sandbox, photo: Json, times: int) -> bool:
    return len(replies_to(sandbox, photo)) == times


async def test_each_of_two_topics_hears_of_its_own_picture_only(app: App, sandbox: Sandbox) -> None:
    topics = [sandbox.topic(), sandbox.topic()]
    photos = [await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=one) for one in topics]
    answers = [await reply_to(sandbox, photo) for photo in photos]
    assert [one["message_thread_id"] for one in answers] == topics
    for photo, answer in zip(photos, answers, strict=True):
        sandbox.press(answer["message_id"], data_of(answer, "v:"))
        await sandbox.wait_for(partial(replied, sandbox, photo, 2))
    assert all(
        one["message_thread_id"] == topic
        for topic, photo in zip(topics, photos, strict=True)
        for one in replies_to(sandbox, photo)
    )


async def test_an_album_in_a_topic_is_answered_there(app: App, sandbox: Sandbox) -> None:
    sandbox.world.privacy = False
    thread = sandbox.topic()
    pictures = [picture(PLAIN, (40 + number, 30)) for number in range(3)]
    await sandbox.send_album(pictures, as_files=True, caption=NAME, chat=GROUP, thread=thread)
    said = await sandbox.wait_for(lambda: len(found := sandbox.messages(GROUP, by_bot=True)) == 3 and found)
    assert {one["message_thread_id"] for one in said} == {thread}


async def test_a_topic_of_a_private_chat_is_kept_too(app: App, sandbox: Sandbox) -> None:
    thread = sandbox.topic(ME)
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME, thread=thread))
    refusal = await reply_to(sandbox, await sandbox.send_text("привет", thread=thread))
    usual = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert [one.get("message_thread_id") for one in (answer, refusal, usual)] == [thread, thread, None]


async def test_the_number_of_a_thread_of_answers_is_nothing_to_send_to(app: App, sandbox: Sandbox) -> None:
    """Telegram gives one in groups without topics, and in a forum's General, and refuses it."""
    raw = {"message_thread_id": 77, "caption": NAME}
    stored = sandbox.world.store(MEME, "documents", ".jpg", "image/jpeg", "meme.jpg")
    document = sandbox.world.file_object(stored, file_name="meme.jpg", mime_type="image/jpeg")
    for _ in range(2):
        message = await sandbox.send_raw({"document": document} | raw, chat=GROUP)
        assert "message_thread_id" not in await reply_to(sandbox, message)
        sandbox.topic()  # from now on a forum
    assert all(call.status == 200 for call in said_by(sandbox))


def said_more(sandbox: Sandbox, before: int) -> bool:
    """The bot has said more in the group than so many messages."""
    return len(sandbox.messages(GROUP, by_bot=True)) > before


async def test_a_button_under_a_message_too_old_to_be_told_answers_in_the_topic_of_its_picture(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    thread = sandbox.topic()
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=thread))
    await until(lambda: settled(app))
    for prefix in ("c:", "v:"):
        query = {
            "id": f"1{len(prefix)}{ord(prefix[0])}",
            "from": dict(sandbox.user(ME)),
            "message": {"chat": answer["chat"], "message_id": answer["message_id"], "date": 0},
            "chat_instance": "1",
            "data": data_of(answer, prefix),
        }
        before = len(sandbox.messages(GROUP, by_bot=True))
        sandbox.world.add_update("callback_query", query)
        await sandbox.wait_for(partial(said_more, sandbox, before))
    assert {one.get("message_thread_id") for one in sandbox.messages(GROUP, by_bot=True)} == {thread}
    # A job of before the bot knew topics: the picture's place is that of the message that is pressed.
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
        database.execute("UPDATE jobs SET message_thread_id = NULL")
    sandbox.press(answer["message_id"], data_of(answer, "v:"))
    (version,) = await sandbox.wait_for(
        lambda: [
            one
            for one in replies_to(sandbox, answer)
            if "reply_markup" in one and one["message_thread_id"] == thread
        ]
    )
    assert version["text"].startswith("400 x")


@pytest.mark.parametrize("how", ["deleted", "closed"])
async def test_where_the_topic_is_gone_the_person_gets_the_description_alone(
    app: App, sandbox: Sandbox, how: str
) -> None:
    thread = sandbox.topic()
    gate = sandbox.hold("download")
    await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=thread)
    await sandbox.wait_for(lambda: gate.arrived)
    (sandbox.delete_topic if how == "deleted" else sandbox.close_topic)(thread)
    gate.release()
    note, answer = await sandbox.wait_for(lambda: len(said := sandbox.messages(by_bot=True)) == 2 and said)
    assert "закрыта или удалена" in note["text"]
    assert answer["text"].startswith("400 x")
    assert "reply_markup" in answer
    assert not sandbox.messages(GROUP, by_bot=True)
    await until(lambda: settled(app))


async def test_where_the_topic_is_gone_and_the_person_cannot_be_written_to_it_is_logged(
    app: App, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    thread = sandbox.topic()
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=thread)
    await sandbox.wait_for(lambda: gate.arrived)
    sandbox.close_topic(thread)
    sandbox.world.blocked.add(ME)
    gate.release()
    await until(lambda: settled(app))
    assert "TOPIC_CLOSED" in caplog.text
    # The description is not lost: once the topic is open again, who asks for it has it at once.
    sandbox.world.chats[GROUP].topics[thread] = True
    await sandbox.send_text(f"/caption{NAME}", chat=GROUP, thread=thread, reply_to=photo["message_id"])
    assert (await reply_to(sandbox, photo))["message_thread_id"] == thread
    assert len(sandbox.calls_of("download")) == 1


async def test_a_topic_that_telegram_cannot_find_for_a_bot_is_reached_by_the_answer_itself(
    app: App, sandbox: Sandbox
) -> None:
    """So it is with very old topics, and in a group whose topics were switched off."""
    thread = sandbox.topic()
    sandbox.fail("sendMessage", "bad_request", description="Bad Request: message thread not found")
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption=NAME, thread=thread)
    answer = await reply_to(sandbox, photo)
    assert answer["message_thread_id"] == thread
    assert "message_thread_id" not in sandbox.calls_of("sendMessage")[-1].params
    assert not sandbox.messages(by_bot=True)


async def test_direct_messages_of_a_channel_are_answered_in_their_topic(app: App, sandbox: Sandbox) -> None:
    how: Json = {"chat": -1_007_777, "direct_topic": 2**51}
    photo = await sandbox.send_photo(MEME, caption=NAME, **how)
    answer = await reply_to(sandbox, photo)
    sandbox.press(answer["message_id"], data_of(answer, "v:"))
    await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 2)
    sandbox.press(answer["message_id"], data_of(answer, "c:"))
    await reply_to(sandbox, answer)
    assert (
        "нет картинки" in (await reply_to(sandbox, await sandbox.send_text(f"/caption{NAME}", **how)))["text"]
    )
    said = sandbox.messages(-1_007_777, by_bot=True)
    assert len(said) == 4
    assert {one["direct_messages_topic"]["topic_id"] for one in said} == {2**51}
    assert not sandbox.calls_of("sendChatAction")  # there Telegram shows none


async def test_what_is_said_on_behalf_of_a_business_account_is_said_sent_changed_and_deleted_so(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(settings(queue_notice=1, per_user_limit=1), sandbox) as app:
        for colour in (WAIT, PLAIN):
            photo = await sandbox.send_document(picture(colour), "a.png", connection="business")
        (notice,) = await sandbox.wait_for(
            lambda: [one for one in sandbox.messages(by_bot=True) if "в очереди" in one["text"]]
        )
        (tmp_path / "gate").touch()
        answer = await reply_to(sandbox, photo)
        while "reply_markup" not in answer:
            answer = await sandbox.wait_for(
                lambda: next((one for one in replies_to(sandbox, photo) if "reply_markup" in one), None)
            )
        sandbox.press(answer["message_id"], data_of(answer, "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in answer["text"])
        await sandbox.wait_for(lambda: notice["message_id"] not in sandbox.world.chats[ME].messages)
        await until(lambda: settled(app))
    said = said_by(sandbox) + sandbox.calls_of("editMessageText") + sandbox.calls_of("deleteBusinessMessages")
    assert {call.params.get("business_connection_id") for call in said} == {"business"}
    assert all(call.status == 200 for call in said)
