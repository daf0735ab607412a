"""Once something is saved, nothing that fails afterwards reads as a failure: of every handler that saves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.app import App
from bot.config import Settings
from bot.feedback.tables import User
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from tests.bot.conftest import Json, reply_to, until, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint

pytestmark = pytest.mark.usefixtures("hasty")

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))

FAULTS: dict[str, Json] = {
    "invalid": {"kind": "bad_request", "description": "Bad Request: MESSAGE_ID_INVALID"},
    "gone": {"kind": "bad_request", "description": "Bad Request: message to edit not found"},
    "too old": {"kind": "bad_request", "description": "Bad Request: message can't be edited"},
    "no chat": {"kind": "bad_request", "description": "Bad Request: chat not found"},
    "new to us": {"kind": "bad_request", "description": "Bad Request: MESSAGE_FROM_THE_FUTURE"},
    "no right": {
        "kind": "bad_request",
        "description": "Bad Request: not enough rights to send messages",
    },
    "blocked": {"kind": "forbidden"},
    "long wait": {"kind": "flood", "retry_after": 1000},
    "unknown": {"kind": "not_found"},
    "conflict": {"kind": "conflict"},
    "server": {"kind": "server_error"},
    "proxy": {"kind": "bad_gateway"},
    "broken": {"kind": "reset"},
    "answer lost": {"kind": "reset_after"},
}


@pytest.fixture
async def app(settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[App]:
    """A bot with two models."""
    write_checkpoint(tmp_path / "models", "other")
    async with working(settings(), sandbox) as running:
        yield running


def button(message: Json, label: str) -> str:
    """The data of the button on which this stands."""
    found = [
        one["callback_data"]
        for row in message["reply_markup"]["inline_keyboard"]
        for one in row
        if label in one["text"]
    ]
    return str(found[0])


async def pressed(sandbox: Sandbox, message: Json, label: str, *, chat: int | None = None) -> Json:
    """What a press is answered with."""
    press = sandbox.press(message["message_id"], button(message, label), chat=chat)
    await sandbox.wait_for(lambda: press.answer is not None)
    assert press.answer is not None
    return press.answer


async def person(app: App) -> User:
    user = await app.store.people.find(ME)
    assert user is not None
    return user


def never_alarmed(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    said = [str(one.params) for one in sandbox.calls if one.method in {"sendMessage", "answerCallbackQuery"}]
    assert not [one for one in said if "сломалось" in one]
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_that_cannot_be_turned_is_no_failure(
    app: App, sandbox: Sandbox, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    described = await reply_to(sandbox, await sandbox.send_photo(MEME))
    pages = {
        name: await reply_to(sandbox, await sandbox.send_text(name))
        for name in ("/privacy", "/forget", "/model", "/compare", "/language")
    }
    sandbox.fail("editMessageText", times=1000, **FAULTS[fault])

    answers = [await pressed(sandbox, described, "4 ★")]
    assert answers[0]["text"] == "Ваша оценка: 4 из 5"
    answers.append(await pressed(sandbox, pages["/privacy"], "Разрешить"))
    answers.append(await pressed(sandbox, pages["/model"], "other"))
    answers.append(await pressed(sandbox, pages["/compare"], "Сравнивать с other (выбрано)"))
    answers.append(await pressed(sandbox, pages["/language"], "English"))

    async def saved() -> bool:
        user = await person(app)
        captions = await app.store.reports.stats()
        return (
            user.consent
            and (user.model, user.language, user.compare_with) == ("other", "en", ("fake",))
            and captions.models[0].marks == {4: 1}
        )

    await until(saved)
    answers.append(await pressed(sandbox, pages["/forget"], "Стереть всё"))
    assert "is erased (" in answers[-1]["text"]
    assert not any(answer.get("show_alert") for answer in answers)
    # Who is to wait for long is not asked again.
    await until(lambda: edits_tried(sandbox, 1 if fault == "long wait" else 6))
    never_alarmed(sandbox, caplog)


async def edits_tried(sandbox: Sandbox, messages: int) -> bool:
    calls = sandbox.calls_of("editMessageText")
    return len({call.params["message_id"] for call in calls}) >= messages and all(
        call.status is not None for call in calls
    )


@pytest.mark.parametrize(
    "fault", ["no right", "no chat", "blocked", "long wait", "server", "proxy", "broken"]
)
async def test_an_answer_that_cannot_be_sent_is_no_failure(
    app: App, sandbox: Sandbox, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    described = await reply_to(sandbox, await sandbox.send_photo(MEME))
    question = await reply_to(sandbox, await sandbox.send_text("/forget"))
    await pressed(sandbox, described, "Исправить")
    prompt = await sandbox.wait_for(
        lambda: [one for one in sandbox.messages(by_bot=True) if "force_reply" in str(one)]
    )
    sandbox.fail("sendMessage", times=1000, **FAULTS[fault])
    said = await sandbox.send_text("Кот сидит.", reply_to=prompt[0]["message_id"])

    async def corrected() -> bool:
        return (await app.store.reports.stats()).models[0].corrections == 1

    await until(corrected)
    sandbox.edit_text(said["message_id"], "Кот лежит.")

    async def last() -> bool:
        return [one.correction async for one in app.store.reports.feedback()] == ["Кот лежит."]

    await until(last)
    for name in ("/model other", "/compare fake"):
        await sandbox.send_text(name)

    async def chosen() -> bool:
        user = await person(app)
        return (user.model, user.compare_with) == ("other", ("fake",))

    await until(chosen)
    assert "стёрто (" in (await pressed(sandbox, question, "Стереть всё"))["text"]

    async def forgotten() -> bool:
        return await app.store.people.find(ME) is None

    await until(forgotten)
    never_alarmed(sandbox, caplog)


async def test_a_mark_in_a_group_is_no_failure_either(
    app: App, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    described = await reply_to(sandbox, photo)
    sandbox.fail("editMessageText", times=1000, **FAULTS["invalid"])
    answer = await pressed(sandbox, described, "2 ★", chat=GROUP)
    assert (answer["text"], answer.get("show_alert", False)) == ("Ваша оценка: 2 из 5", False)
    never_alarmed(sandbox, caplog)


async def test_a_database_that_fails_behind_the_mark_is_logged_and_no_alarm(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise OSError("the disk is full")

    described = await reply_to(sandbox, await sandbox.send_photo(MEME))
    monkeypatch.setattr(app.store.marks, "rating", broken)
    assert (await pressed(sandbox, described, "4 ★"))["text"] == "Ваша оценка: 4 из 5"

    async def logged() -> bool:
        return "the disk is full" in caplog.text

    await until(logged)
    assert not [one for one in sandbox.calls_of("answerCallbackQuery") if "сломалось" in str(one.params)]
