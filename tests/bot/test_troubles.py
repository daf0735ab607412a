"""What Telegram does to bots: rate limits, broken connections, blocked chats, moved groups, late answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiogram import Bot

from bot.app import App, build
from bot.captioning.fetching import FETCH_PAUSES
from bot.config import Settings
from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import FaultKind
from bot.sandbox.scene import GROUP
from bot.transport.polling import Poller, TokenRefused
from inference.serving.engine import Engine
from tests.bot.conftest import (
    Json,
    answer_to,
    caption_of,
    data_of,
    locked,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import HANG, POISON, POISON_ONCE, RAISE, WAIT, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
PASSING: tuple[FaultKind, ...] = ("flood", "server_error", "bad_gateway", "reset", "not_found", "conflict")


@pytest.fixture(autouse=True)
def hastier(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching and delivery too."""
    monkeypatch.setattr("bot.captioning.fetching.FETCH_PAUSES", (0.001,) * len(FETCH_PAUSES))
    monkeypatch.setattr("bot.captioning.delivery.FIRST_PAUSE", 0.001)


@pytest.mark.parametrize(
    ("method", "kind"),
    # What a broken connection says of a message that was on its way: see test_delivery.
    [
        pair
        for pair in product(("sendMessage", "getFile", "download", "getUpdates"), PASSING)
        if pair != ("sendMessage", "reset")
    ],
)
async def test_a_passing_failure_delays_the_answer_and_nothing_else(
    app: App, sandbox: Sandbox, method: str, kind: FaultKind
) -> None:
    sandbox.fail(method, kind, times=2)
    photo = await sandbox.send_photo(MEME)
    answer = await reply_to(sandbox, photo)
    assert answer["text"].startswith("400 x")
    await until(lambda: settled(app))
    assert len(replies_to(sandbox, photo)) == 1


async def test_a_group_that_becomes_a_supergroup_is_followed(app: App, sandbox: Sandbox) -> None:
    old, new = -555, -1_009_999
    gate = sandbox.hold("download")
    await sandbox.send_photo(MEME, chat=old, caption="@meme_describer_bot")
    await sandbox.wait_for(lambda: gate.arrived)
    sandbox.world.group(new, "Мемы")
    sandbox.world.chats[old].migrated_to = new
    gate.release()
    said = await sandbox.wait_for(lambda: sandbox.messages(new, by_bot=True))
    assert said[0]["text"].startswith("400 x")
    await until(lambda: settled(app))


@pytest.mark.parametrize("said", ["not enough rights to send text messages to the chat", "CHAT_RESTRICTED"])
async def test_a_group_that_lets_the_bot_write_nothing_is_no_alarm(
    app: App, sandbox: Sandbox, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("sendMessage", "bad_request", 100, description=f"Bad Request: {said}", only=str(GROUP))
    await sandbox.send_text("/caption", chat=GROUP)

    async def counted() -> bool:
        labels = {"kind": "message", "outcome": "forbidden"}
        return app.metrics.registry.get_sample_value("meme_bot_updates_total", labels) == 1

    await until(counted)
    assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")
    assert len([call for call in sandbox.calls_of("sendMessage") if call.status == 400]) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_mark_is_saved_although_its_press_cannot_be_answered(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    sandbox.fail("answerCallbackQuery", "bad_request", description="Bad Request: query is too old")
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"))
    await sandbox.wait_for(lambda: "Ваша оценка: 5" in sandbox.messages()[-1]["text"])

    # Pressing the same mark again changes nothing: "message is not modified" is no error.
    edits = len(sandbox.calls_of("editMessageText"))
    again = sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"))
    await sandbox.wait_for(lambda: len(sandbox.calls_of("editMessageText")) > edits)
    await sandbox.wait_for(lambda: again.answer is not None)
    assert again.answer is not None
    assert again.answer["text"] == "Ваша оценка: 5 из 5"
    assert len(sandbox.messages(by_bot=True)) == 1


async def test_a_proxys_page_instead_of_an_answer_to_a_press_is_no_alarm(
    app: App, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    sandbox.fail("answerCallbackQuery", "bad_gateway", times=2)  # as often as it is tried
    sandbox.press(answer["message_id"], data_of(answer, "r:"))
    await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])

    async def given_up() -> bool:
        return all(task.get_name() != "answer to a mark" for task in asyncio.all_tasks())

    await sandbox.wait_for(lambda: len(sandbox.calls_of("answerCallbackQuery")) == 2)
    await until(given_up)
    assert "Traceback" not in caplog.text


async def test_a_mark_is_saved_although_the_message_cannot_be_edited(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    sandbox.fail("editMessageText", "bad_request", description="Bad Request: message to edit not found")
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"))
    user = await app.store.people.find(ME)
    assert user is not None
    await until(lambda: app.store.marks.rating(user.id, caption_id))


@pytest.mark.parametrize("data", ["x:1", "r:1:9", "r:99999999999999999:1", "", "v:abc"])
async def test_a_button_nobody_made_is_answered(app: App, sandbox: Sandbox, data: str) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    pressed = sandbox.press(answer["message_id"], data, stale=True)
    assert "Пришлите картинку ещё раз" in (await answer_to(sandbox, pressed))["text"]


async def test_what_breaks_inside_is_said_and_logged(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(app.store.jobs, "accept", broken)
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert "что-то сломалось" in answer["text"]
    assert "the disk is full" in caplog.text
    assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")


async def test_a_mark_that_cannot_be_written_down_is_saved_later_and_not_said_to_be_taken(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.feedback.sqlite.WAIT", 1)
    monkeypatch.setattr("bot.feedback.waiting.STORE_PAUSES", (0.01,))
    async with working(settings(), sandbox) as app:
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        await until(lambda: settled(app))
        async with locked(tmp_path):
            pressed = sandbox.press(answer["message_id"], data_of(answer, "r:"))
            assert "Сделаю это позже" in (await answer_to(sandbox, pressed))["text"]
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in answer["text"])


@pytest.mark.parametrize(
    ("colour", "sentence"),
    [(POISON, "пробовал дважды"), (HANG, "слишком много времени"), (RAISE, "у меня неполадка")],
)
async def test_a_picture_that_breaks_the_worker_gets_a_sentence(
    settings: Callable[..., Settings], sandbox: Sandbox, colour: tuple[int, int, int], sentence: str
) -> None:
    async with working(settings(picture_timeout=1.0), sandbox):
        answer = await reply_to(sandbox, await sandbox.send_document(picture(colour), "a.png"))
        assert sentence in answer["text"]
        assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")


async def test_a_worker_killed_in_the_middle_of_a_picture_costs_nothing(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_document(picture(POISON_ONCE), "a.png"))
    assert answer["text"].startswith("32 x 24")


async def test_a_webhook_or_a_second_poller_is_told_once_and_waited_out(
    app: App, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with aiohttp.ClientSession() as session:
        bot_url = f"{sandbox.url}/bot{sandbox.token}"
        async with session.post(f"{bot_url}/setWebhook", json={"url": "http://127.0.0.1:9/hook"}) as answer:
            assert answer.status == 200
        sandbox.world.publish({"type": "bot", "online": True})
        async with session.get(f"{bot_url}/getMe"):
            pass
        # The poll that was open ends, the next ones meet the webhook.
        await sandbox.send_text("привет")
        await sandbox.wait_for(
            lambda: sum(call.status == 409 for call in sandbox.calls_of("getUpdates")) >= 2
        )
        assert app.poller.trouble is not None
        assert not app.readiness()[0]
        async with session.post(f"{bot_url}/deleteWebhook") as answer:
            assert answer.status == 200
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert app.poller.trouble is None
    logged = [record.message for record in caplog.records if "refuses long polling" in record.message]
    assert len(logged) == 1
    assert "--delete-webhook" in logged[0]


async def test_the_bot_waits_for_a_server_that_is_not_there_yet(
    settings: Callable[..., Settings], unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = Sandbox(port=unused_tcp_port)
    async with (
        Engine(settings().engine) as engine,
        build(settings(), engine, token=server.token, api_url=f"http://127.0.0.1:{unused_tcp_port}") as app,
    ):
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(stop))

        async def troubled() -> bool:
            return app.poller.trouble is not None

        await until(troubled)
        async with server:
            await reply_to(server, await server.send_photo(MEME))
            assert app.poller.healthy
            stop.set()
            await serving
    assert sum("Cannot get updates" in record.message for record in caplog.records) == 1


async def test_a_wrong_token_is_an_error_of_one_sentence(
    settings: Callable[..., Settings], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Engine(settings().engine) as engine,
        build(settings(), engine, token=f"1:{'a' * 35}", api_url=sandbox.url) as app,
    ):
        with pytest.raises(TokenRefused, match="BOT_TOKEN"):
            await app.serve(asyncio.Event())
    assert "Traceback" not in caplog.text


async def test_an_update_that_cannot_be_read_does_not_hold_back_the_others(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.add_update("message", {"nonsense": True})
    photo = await sandbox.send_photo(MEME)
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "content",
    [
        {"message_id": 2**70, "date": 0},
        {"message_id": 5, "date": 10**30, "chat": {"id": 10**400, "type": "private"}},
        {"message_id": 5, "date": float("nan"), "chat": {"id": float("inf"), "type": "private"}},
        {"message_id": 5, "date": 0, "chat": deep(150)},
        {"message_id": "\ud800", "text": "\udfff\0", "from": {"id": True}},
    ],
    ids=["65 bits", "many digits", "no number", "deep", "halves"],
)
async def test_no_update_holds_back_the_others(
    app: App, sandbox: Sandbox, content: dict[str, object]
) -> None:
    sandbox.world.updates.append({"update_id": 2**64, "message": {}})
    sandbox.world.add_update("message", content)
    photo = await sandbox.send_photo(MEME)
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_a_picture_beside_what_is_nested_too_deep_is_described(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, forward_origin={"type": "from_the_future", "date": deep(150)})
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


NEW: Json = {"forward_origin": {"type": "from_the_future", "date": 0}}


async def test_what_is_new_to_us_in_a_message_does_not_lose_its_picture(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, **NEW)
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_what_is_new_to_us_in_a_message_is_answered_once_and_the_answer_has_its_buttons(
    app: App, sandbox: Sandbox
) -> None:
    """Telegram's answer to what is sent shows the message that was answered, and so does each press."""
    photo, text = await sandbox.send_photo(MEME, **NEW), await sandbox.send_text("Мем", **NEW)
    answer = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    await answer_to(sandbox, sandbox.press(answer["message_id"], data_of(answer, "r:")))
    await sandbox.wait_for(lambda: "Ваша оценка" in answer["text"])
    assert len(sandbox.calls_of("editMessageText")) == 1
    assert replies_to(sandbox, photo) == [answer]
    assert len(replies_to(sandbox, text)) == 1
    assert len(sandbox.messages(by_bot=True)) == 2


async def test_a_picture_that_is_answered_is_found_beside_what_is_new_to_us(
    app: App, sandbox: Sandbox
) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, **NEW)
    await sandbox.send_text("/caption", chat=GROUP, reply_to=photo["message_id"])
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_a_redelivered_update_makes_no_second_answer(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME)
    await reply_to(sandbox, photo)
    sandbox.world.add_update("message", sandbox.world.public(photo))
    later = await sandbox.send_text("привет")
    await reply_to(sandbox, later)
    await until(lambda: settled(app))
    assert len(replies_to(sandbox, photo)) == 1


async def test_updates_are_confirmed_only_after_the_job_is_written(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, written = app.store.jobs.accept, asyncio.Event()

    async def slow(**fields: Any) -> object:
        await written.wait()
        return await accept(**fields)

    monkeypatch.setattr(app.store.jobs, "accept", slow)
    polls = len(sandbox.calls_of("getUpdates"))
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: sandbox.calls_of("getUpdates")[polls - 1].status == 200)
    # While the row is not written, the update is still the server's.
    assert len(sandbox.calls_of("getUpdates")) == polls
    assert len(sandbox.world.updates) == 1
    written.set()
    await reply_to(sandbox, photo)
    await sandbox.wait_for(lambda: not sandbox.world.updates)


async def test_stopping_finishes_what_is_in_work_and_confirms_it(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with (
        Engine(settings().engine) as engine,
        build(settings(), engine, token=sandbox.token, api_url=sandbox.url) as app,
    ):
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(stop))
        photo = await sandbox.send_document(picture(WAIT), "a.png")

        async def in_work() -> bool:
            return app.engine.waiting == 1

        await until(in_work)
        stop.set()
        (tmp_path / "gate").touch()
        await serving
        assert len(replies_to(sandbox, photo)) == 1
        assert await settled(app)
    assert not sandbox.world.updates


async def test_stopping_does_not_wait_for_ever_and_the_next_start_answers(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with (
        Engine(settings().engine) as engine,
        build(settings(drain_seconds=0.2), engine, token=sandbox.token, api_url=sandbox.url) as app,
    ):
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(stop))
        photo = await sandbox.send_document(picture(WAIT), "a.png")

        async def in_work() -> bool:
            return app.engine.waiting == 1

        await until(in_work)
        stop.set()
        async with asyncio.timeout(5):
            await serving
        assert not replies_to(sandbox, photo)
    (tmp_path / "gate").touch()
    async with working(settings(), sandbox) as app:
        await reply_to(sandbox, photo)
        await until(lambda: settled(app))
    assert len(replies_to(sandbox, photo)) == 1


async def test_the_poller_asks_only_for_what_the_bot_handles(app: App, sandbox: Sandbox) -> None:
    await sandbox.wait_for(lambda: sandbox.calls_of("getUpdates"))
    asked = sandbox.calls_of("getUpdates")[0].params
    assert "callback_query" in asked["allowed_updates"]
    assert "chat_member" not in asked["allowed_updates"].replace("my_chat_member", "")
    assert isinstance(app.poller, Poller)
    assert isinstance(app.bot, Bot)
