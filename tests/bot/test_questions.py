"""Questions about a picture, over real HTTP, with a real database and a worker whose fake model talks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from bot.app import App
from bot.captioning.models import key
from bot.config import Settings
from bot.feedback.export import export
from bot.feedback.messages import MessageKey
from bot.feedback.tables import CaptionRow, Job, ShownMessage, TurnRow
from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import FaultKind
from bot.sandbox.scene import GROUP
from inference.common.types import JOKE
from tests.bot.conftest import (
    OTHER,
    Json,
    caption_of,
    data_of,
    forget,
    labels,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import TALKS, write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
JOKE_BUTTON = "В чём шутка?"


@pytest.fixture
def talking(settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a bot whose usual model only describes, and which has another one that talks."""
    write_checkpoint(tmp_path / "models", "talker", card=TALKS)

    def make(**changes: Any) -> Settings:
        return settings(**({"captioner": "tests.inference.fakes:load_talking"} | changes))

    return make


@pytest.fixture
async def app(talking: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[App]:
    """The usual model talks."""
    async with working(talking(model="talker", questions_per_picture=3), sandbox) as running:
        yield running


def said_to_model(folder: Path) -> list[Json]:
    """What the fake was asked, and what was said to it of the conversation, in order."""
    lines = (folder / "fake.log").read_text(encoding="utf-8").splitlines()
    return [entry for line in lines if "question" in (entry := json.loads(line))]


async def rows(app: App, table: type[TurnRow | CaptionRow | Job]) -> int:
    """How many there are."""
    async with app.store.sessions.reading() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def described(sandbox: Sandbox, **sent: Any) -> Json:
    """The description of a picture."""
    return await reply_to(sandbox, await sandbox.send_photo(MEME, **sent))


async def asked(app: App, sandbox: Sandbox, text: str, about: Json, **sent: Any) -> Json:
    """What the bot says to a text in reply to a message of its own."""
    place = MessageKey.of(about["chat"]["id"], about["message_id"])
    await until(lambda: app.store.messages.find(place))  # nobody writes faster than that is written down
    return await reply_to(sandbox, await sandbox.send_text(text, reply_to=about["message_id"], **sent))


async def test_a_reply_to_a_description_is_a_question_and_what_was_said_goes_along(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    description = await described(sandbox)
    row = await app.store.captions.get(caption_of(description))
    assert row is not None
    size = description["text"].split("\n")[0]
    first = await asked(app, sandbox, "Кто <это> & где?", description)
    assert first["text"] == f"{size}: Кто <это> & где?, до того 1"
    assert "reply_markup" not in first
    # An answer may be answered too.
    second = await asked(app, sandbox, "А слева?", first)
    assert second["text"] == f"{size}: А слева?, до того 2"
    assert [entry["turns"] for entry in said_to_model(tmp_path)] == [
        [["", row.text]],
        [["", row.text], ["Кто <это> & где?", first["text"]]],
    ]
    assert len(sandbox.calls_of("download")) == 3
    # Of the limits a person hears in one sentence each, and nothing is kept of what is refused.
    assert "не больше 500 знаков" in (await asked(app, sandbox, "А" * 501, description))["text"]
    third = await asked(app, sandbox, "Что ещё?", description)
    assert third["text"].endswith("до того 3")
    assert "на 3 вопроса, не больше" in (await asked(app, sandbox, "А ещё?", description))["text"]
    assert (await rows(app, TurnRow), await rows(app, Job)) == (3, 4)


async def test_two_questions_at_once_are_answered_in_their_order(app: App, sandbox: Sandbox) -> None:
    description = await described(sandbox)
    gate = sandbox.hold("download")
    both = [await sandbox.send_text(text, reply_to=description["message_id"]) for text in ("Раз?", "Два?")]
    await sandbox.wait_for(lambda: gate.arrived)
    typed = len(sandbox.calls_of("sendChatAction"))
    await sandbox.wait_for(lambda: len(sandbox.calls_of("sendChatAction")) > typed)
    gate.release()
    answers = [await reply_to(sandbox, one) for one in both]
    assert [answer["text"].split(": ")[1] for answer in answers] == ["Раз?, до того 1", "Два?, до того 2"]


async def test_a_description_that_was_not_written_down_is_known_by_its_buttons(
    app: App, sandbox: Sandbox
) -> None:
    description = await described(sandbox)
    async with app.store.sessions.transaction() as session:
        await session.execute(delete(ShownMessage))
    question = await sandbox.send_text("Кто это?", reply_to=description["message_id"])
    assert "до того 1" in (await reply_to(sandbox, question))["text"]


async def test_the_joke_is_asked_for_by_a_button_and_said_again_without_the_model(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    description = await described(sandbox)
    assert labels(description)[-1] == JOKE_BUTTON
    caption_id = caption_of(description)
    sandbox.press(description["message_id"], data_of(description, "j:"))
    explained = await reply_to(sandbox, description)
    assert f": {JOKE}, до того 1" in explained["text"]
    await until(lambda: settled(app))  # till then it is under way, and comes once
    sandbox.press(description["message_id"], data_of(description, "j:"))
    again = await sandbox.wait_for(lambda: replies_to(sandbox, description)[1:])
    assert again[0]["text"] == explained["text"]
    assert len(said_to_model(tmp_path)) == 1
    # It is a turn like any other, and stays under a description that is rated.
    assert (await asked(app, sandbox, "Почему?", again[0]))["text"].endswith("до того 2")
    sandbox.press(description["message_id"], data_of(description, f"r:{caption_id}:5"))
    await sandbox.wait_for(lambda: "Ваша оценка: 5" in description["text"])
    assert labels(description)[-1] == JOKE_BUTTON


async def test_where_the_model_only_describes_it_is_said_who_answers(
    talking: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(talking(), sandbox) as app:
        description = await described(sandbox, caption="Кто это?")
        assert JOKE_BUTTON not in labels(description)
        refused = await asked(app, sandbox, "Кто это?", description)
        assert refused["text"].startswith(
            "Модель fake только описывает. На вопросы отвечают: talker. Выберите одну из них командой /model"
        )
        # Its cache is one for all, whatever is asked under a picture, and nothing of that is kept.
        theirs = await described(sandbox, user=OTHER, caption="А это кто?")
        assert caption_of(theirs) == caption_of(description)
        assert await rows(app, TurnRow) == 0
        job = await app.store.jobs.of_caption(caption_of(description), ME, description["message_id"])
        assert job is not None and job.question is None
        page = await reply_to(sandbox, await sandbox.send_text("/model"))
        sandbox.press(page["message_id"], data_of(page, f"m:{key('talker')}"))
        await sandbox.wait_for(lambda: "Сейчас: talker" in page["text"])
        assert "до того 1" in (await asked(app, sandbox, "Кто это?", description))["text"]


async def test_where_no_model_talks_it_is_said_in_private_and_nobody_is_disturbed_in_a_group(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(), sandbox) as app:
        description = await described(sandbox)
        assert JOKE_BUTTON not in labels(description)
        assert "ни одна не отвечает" in (await asked(app, sandbox, "Кто это?", description))["text"]
        public = await described(sandbox, chat=GROUP, caption="@meme_describer_bot")
        talk = await sandbox.send_text("смешно", chat=GROUP, user=OTHER, reply_to=public["message_id"])
        await described(sandbox, chat=GROUP, caption="@meme_describer_bot")
        assert not replies_to(sandbox, talk)
        assert await app.store.people.find(OTHER) is None


async def test_in_a_group_replies_to_descriptions_are_questions_of_whoever_replies(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.privacy = False
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    description = await reply_to(sandbox, photo)
    talk = await sandbox.send_text("Кто это?", chat=GROUP, user=OTHER, reply_to=photo["message_id"])
    mine = await asked(app, sandbox, "Кто это?", description, chat=GROUP)
    theirs = await asked(app, sandbox, "А где?", description, chat=GROUP, user=OTHER)
    assert mine["text"].endswith("до того 1") and theirs["text"].endswith("до того 1")
    assert not replies_to(sandbox, talk)


async def test_a_question_under_a_picture_is_its_senders_alone(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    own = await described(sandbox, caption="Что на футболке?")
    row = await app.store.captions.get(caption_of(own))
    assert row is not None and row.options["question"] == "Что на футболке?"
    assert caption_of(await described(sandbox, caption="Что на футболке?")) == row.id
    # Neither is it told to somebody else who asks the same, nor does it take the usual one's place.
    theirs = await described(sandbox, user=OTHER, caption="Что на футболке?")
    assert caption_of(theirs) != row.id
    usual = await described(sandbox, user=OTHER)
    unasked = await app.store.captions.get(caption_of(usual))
    assert unasked is not None and unasked.options["question"] == ""
    too_long = await described(sandbox, caption="Пост. " * 100)
    assert caption_of(too_long) == unasked.id
    # The description answered it: that is the beginning of the conversation.
    await asked(app, sandbox, "А на шапке?", own)
    assert said_to_model(tmp_path)[-1]["turns"] == [["Что на футболке?", row.text]]
    # The pictures are another's too, and stay.
    said = (await forget(sandbox))["text"]
    assert "(картинок: 0, оценок: 0, исправлений: 0, ответов на вопросы: 1)" in said
    assert await app.store.captions.get(row.id) is None
    assert await app.store.captions.get(unasked.id) is not None
    assert await app.store.captions.get(caption_of(theirs)) is not None


async def test_questions_count_among_the_pictures_of_a_day(
    talking: Callable[..., Settings], sandbox: Sandbox
) -> None:
    full = "За день я описываю 4 картинки одного человека, считая вопросы, и на сегодня это всё."
    async with working(talking(model="talker", pictures_a_day_person=4), sandbox) as app:
        first, second = await described(sandbox), await described(sandbox)
        assert (await asked(app, sandbox, "Кто это?", first))["text"].endswith("до того 1")
        sandbox.press(first["message_id"], data_of(first, "j:"))
        (explained,) = await sandbox.wait_for(lambda: replies_to(sandbox, first))
        await until(lambda: settled(app))
        assert (await asked(app, sandbox, "А где?", first))["text"].startswith(full)
        refused = sandbox.press(second["message_id"], data_of(second, "j:"))
        await sandbox.wait_for(lambda: refused.answer)
        assert refused.answer is not None and refused.answer["show_alert"]
        assert refused.answer["text"].startswith(full)
        # What was explained before costs nothing, so it is said again.
        sandbox.press(first["message_id"], data_of(first, "j:"))
        again = await sandbox.wait_for(lambda: replies_to(sandbox, first)[1:])
        assert again[0]["text"] == explained["text"]
        # What was refused is not kept.
        assert (await rows(app, TurnRow), await rows(app, Job)) == (2, 4)
        theirs = await described(sandbox, user=OTHER)
        assert (await asked(app, sandbox, "Кто?", theirs, user=OTHER))["text"].endswith("до того 1")


@pytest.mark.parametrize("kind", ["reset", "reset_after"])
async def test_where_nobody_knows_whether_an_answer_came_a_note_shows_it(
    app: App, sandbox: Sandbox, tmp_path: Path, kind: FaultKind
) -> None:
    description = await described(sandbox)
    sandbox.fail("sendMessage", kind)
    question = await sandbox.send_text("Кто это?", reply_to=description["message_id"])
    notes = await sandbox.wait_for(
        lambda: [one for one in replies_to(sandbox, question) if "reply_markup" in one]
    )
    assert [labels(one) for one in notes] == [["Показать ответ"]]
    assert "дошёл ли мой ответ" in notes[0]["text"]
    await until(lambda: settled(app))
    came = int(kind == "reset_after")
    assert len(replies_to(sandbox, question)) == came + 1
    sandbox.press(notes[0]["message_id"], data_of(notes[0], "s:"))
    # The answer takes the note's place, and nobody is asked for it again.
    answers = await sandbox.wait_for(
        lambda: notes[0] not in (found := replies_to(sandbox, question)) and found[came:]
    )
    assert answers[0]["text"].endswith("Кто это?, до того 1")
    assert len(replies_to(sandbox, question)) == came + 1
    assert len(said_to_model(tmp_path)) == 1
    # It is an answer like any other: it may be answered.
    assert (await asked(app, sandbox, "А где?", answers[0]))["text"].endswith("до того 2")


async def test_a_failure_is_one_sentence_and_the_joke_may_be_asked_for_again(
    talking: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(talking(model="talker"), sandbox):
        description = await described(sandbox)
    # The same checkpoint, behind a captioner that cannot talk.
    async with working(talking(model="talker", captioner="tests.inference.fakes:load"), sandbox) as app:
        sandbox.press(description["message_id"], data_of(description, "j:"))
        failed = await reply_to(sandbox, description)
        assert failed["text"].startswith("Модель talker не смогла ответить.")
        await until(lambda: settled(app))
    async with working(talking(model="talker"), sandbox):
        sandbox.press(description["message_id"], data_of(description, "j:"))
        answers = await sandbox.wait_for(lambda: replies_to(sandbox, description)[1:])
        assert f": {JOKE}, до того 1" in answers[0]["text"]


async def test_the_whole_way_from_a_picture_to_its_erasure(
    talking: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with working(talking(model="talker"), sandbox) as app:
        await sandbox.send_text("/start")
        (start,) = await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
        sandbox.press(start["message_id"], data_of(start, "p:1"))
        await sandbox.wait_for(lambda: "вы разрешаете" in start["text"])
        description = await described(sandbox)
        await asked(app, sandbox, "Кто это?", description)
        sandbox.press(description["message_id"], data_of(description, "j:"))
        await reply_to(sandbox, description)
        page = await reply_to(sandbox, await sandbox.send_text("/settings"))
        sandbox.press(page["message_id"], data_of(page, "t:short"))
        await sandbox.wait_for(lambda: "Сейчас: коротко" in page["text"])
        photo = await sandbox.send_photo(MEME)
        await sandbox.send_text("/compare fake", reply_to=photo["message_id"])
        both = await sandbox.wait_for(lambda: (found := replies_to(sandbox, photo))[2:] and found[-2:])
        models = []
        for one in both:
            row = await app.store.captions.get(caption_of(one))
            assert row is not None and row.options["detail"] == "short"
            models.append(row.model)
        assert models == ["talker", "fake"]
        # Under both: the person's own model explains what the other one described.
        assert all(labels(one)[-1] == JOKE_BUTTON for one in both)
        assert "до того 3" in (await asked(app, sandbox, "А он?", both[1]))["text"]

        out = tmp_path / "export"
        report = await export(app.store, out)
        assert (report.rows, report.turns, report.pictures) == (0, 3, 1)
        turns = [json.loads(line) for line in (out / "turns.jsonl").read_text("utf-8").splitlines()]
        assert [turn["question"] for turn in turns] == ["Кто это?", JOKE, "А он?"]
        assert [turn["answer"].split(", ")[-1] for turn in turns] == [f"до того {n}" for n in (1, 2, 3)]
        assert len({(turn["user"], turn["picture"], turn["file_name"]) for turn in turns}) == 1
        assert (out / turns[0]["file_name"]).is_file()
        assert (turns[0]["caption"], turns[0]["model"]) == (turns[1]["caption"], "talker")

        assert "ответов на вопросы: 3" in (await forget(sandbox))["text"]
        assert (await rows(app, TurnRow), await rows(app, Job), await rows(app, CaptionRow)) == (0, 0, 0)
        assert (await export(app.store, out)).empty
        assert not (out / "turns.jsonl").read_text("utf-8")


async def test_it_is_said_to_which_machine_pictures_go(
    talking: Callable[..., Settings], sandbox: Sandbox
) -> None:
    told = "Чтобы описать ваши картинки, я отправляю их на другую машину: gpu-box:8100."
    async with working(talking(engine_url="http://bot:secret@gpu-box:8100"), sandbox):
        for command in ("/start", "/privacy"):
            await sandbox.send_text(command)
            await sandbox.wait_for(lambda: sandbox.messages()[-1]["from"]["is_bot"])
            page = sandbox.messages()[-1]
            assert told in page["text"] and "secret" not in page["text"]
