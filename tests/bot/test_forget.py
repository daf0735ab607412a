"""/forget: it asks once, and what becomes of the answers."""

from __future__ import annotations

from copy import deepcopy

import pytest

from bot.app import App
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from bot.texts import sentences, texts
from tests.bot.conftest import (
    OTHER,
    Json,
    answer_to,
    caption_of,
    data_of,
    forget,
    labels,
    reply_to,
    settled,
    until,
)
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
NAME = "@meme_describer_bot"
REFUSED = texts("ru")(sentences.BUTTON_UNKNOWN)
DONE = "(картинок: 1, оценок: 0, исправлений: 0, ответов на вопросы: 0)"


async def described(app: App, sandbox: Sandbox) -> int:
    """The number of a caption."""
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    await until(lambda: settled(app))
    return caption_of(answer)


async def asked(sandbox: Sandbox, *, chat: int | None = None) -> Json:
    return await reply_to(sandbox, await sandbox.send_text("/forget" + (NAME if chat else ""), chat=chat))


async def test_it_asks_and_who_keeps_everything_keeps_it(app: App, sandbox: Sandbox) -> None:
    caption_id = await described(app, sandbox)
    question = await asked(sandbox)
    assert question["text"].startswith("Стереть всё, что я о вас храню")
    assert labels(question) == ["Стереть всё", "Ничего не стирать"]
    assert await app.store.captions.get(caption_id) is not None

    pressed = sandbox.press(question["message_id"], data_of(question, "f:0"))
    kept = "Ничего не стёрто. /forget спросит снова."
    assert (await answer_to(sandbox, pressed))["text"] == kept
    await sandbox.wait_for(lambda: question["text"] == kept)
    assert "reply_markup" not in question
    assert await app.store.captions.get(caption_id) is not None


async def test_who_says_so_is_erased_and_the_question_becomes_the_answer(app: App, sandbox: Sandbox) -> None:
    caption_id = await described(app, sandbox)
    question = await asked(sandbox)
    pressed = sandbox.press(question["message_id"], data_of(question, "f:1"))
    said = (await answer_to(sandbox, pressed))["text"]
    await sandbox.wait_for(lambda: question["text"] == said)
    assert DONE in said
    assert "reply_markup" not in question
    assert await app.store.captions.get(caption_id) is None
    assert await app.store.people.find(ME) is None


async def test_a_finger_that_presses_twice_is_told_once(app: App, sandbox: Sandbox) -> None:
    await described(app, sandbox)
    question = await asked(sandbox)
    data = data_of(question, "f:1")
    presses = [sandbox.press(question["message_id"], data) for _ in range(4)]
    for press in presses:
        await answer_to(sandbox, press)
    await sandbox.wait_for(lambda: DONE in question["text"])
    assert await app.store.people.find(ME) is None
    assert DONE in question["text"]


async def test_a_press_that_is_delivered_again_erases_nothing_that_came_since(
    app: App, sandbox: Sandbox
) -> None:
    """As after a crash, between the erasure and the confirmation of its update."""
    question = await asked(sandbox)
    first = sandbox.press(question["message_id"], data_of(question, "f:1"))
    query = deepcopy(first.query)  # with the buttons that the message had then
    await sandbox.wait_for(lambda: "стёрто (" in question["text"])
    caption_id = await described(app, sandbox)
    first.answer = None
    sandbox.world.add_update("callback_query", query)
    assert (await answer_to(sandbox, first))["text"] == REFUSED
    assert await app.store.captions.get(caption_id) is not None


async def test_a_question_of_long_ago_erases_nothing(app: App, sandbox: Sandbox) -> None:
    caption_id = await described(app, sandbox)
    question = await asked(sandbox)
    question["date"] -= 25 * 3600
    pressed = sandbox.press(question["message_id"], data_of(question, "f:1"))
    too_old = "Я спрашивал об этом давно, поэтому ничего не стёрто. /forget спросит снова."
    assert (await answer_to(sandbox, pressed))["text"] == too_old
    await sandbox.wait_for(lambda: question["text"] == too_old)
    assert await app.store.captions.get(caption_id) is not None
    assert DONE in (await forget(sandbox))["text"]


@pytest.mark.parametrize("choice", ["f:0", "f:1"])
async def test_in_a_group_nobody_else_decides(app: App, sandbox: Sandbox, choice: str) -> None:
    caption_id = await described(app, sandbox)
    question = await asked(sandbox, chat=GROUP)
    theirs = sandbox.press(question["message_id"], data_of(question, choice), chat=GROUP, user=OTHER)
    assert (await answer_to(sandbox, theirs))["text"] == REFUSED
    assert len(labels(question)) == 2
    own = sandbox.press(question["message_id"], data_of(question, choice), chat=GROUP)
    said = (await answer_to(sandbox, own))["text"]
    await sandbox.wait_for(lambda: question["text"] == said)
    assert (await app.store.captions.get(caption_id) is None) is (choice == "f:1")
