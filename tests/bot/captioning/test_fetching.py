"""Files that cannot be fetched for a while, those that never can, and how much is in memory at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import pytest

from bot.app import App
from bot.captioning.fetching import FETCH_PAUSES, LONGEST_PAUSE, FetchTries, FileAway
from bot.captioning.outcomes import Unanswerable, Wait
from bot.config import Settings
from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import FaultKind
from bot.sandbox.scene import GROUP
from tests.bot.conftest import OTHER, Json, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import PLAIN, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
LATER = "не отдаёт мне вашу картинку"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is asked for again at once."""
    monkeypatch.setattr("bot.captioning.fetching.FETCH_PAUSES", (0.001,) * 3)
    monkeypatch.setattr("bot.captioning.fetching.LONGEST_PAUSE", 0.001)


def path_of(sandbox: Sandbox, message: Json) -> str:
    """Where the file of a document is fetched from."""
    return sandbox.world.files[message["document"]["file_id"]].path


def said(sandbox: Sandbox, words: str, chat: int = ME) -> int:
    return sum(words in one["text"] for one in sandbox.messages(chat, by_bot=True))


def described(sandbox: Sandbox, message: Json) -> bool:
    return any(" x 30" in answer["text"] for answer in replies_to(sandbox, message))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["download", "getFile"])
@pytest.mark.parametrize("kind", ["server_error", "bad_gateway", "reset"])
async def test_a_file_server_that_is_away_for_long_refuses_no_picture(
    app: App, sandbox: Sandbox, method: str, kind: FaultKind
) -> None:
    sandbox.fail(method, kind, times=10**6)
    sent = [await sandbox.send_document(picture(PLAIN, (40 + n, 30)), f"{n}.png") for n in range(5)]
    sent += [
        await sandbox.send_document(picture(PLAIN, (60 + n, 30)), f"{n}.png", user=OTHER) for n in range(5)
    ]
    await sandbox.wait_for(lambda: all(said(sandbox, LATER, chat) for chat in (ME, OTHER)))
    sandbox.faults.clear()
    for message in sent:
        await sandbox.wait_for(partial(described, sandbox, message))
    assert [said(sandbox, LATER, chat) for chat in (ME, OTHER)] == [1, 1], "each chat is told once"
    assert [len(sandbox.messages(chat, by_bot=True)) for chat in (ME, OTHER)] == [6, 6]
    # The next time it is told again.
    sandbox.fail(method, kind, times=8)
    await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: said(sandbox, "400 x"))
    assert said(sandbox, LATER) == 2


async def test_a_short_absence_is_not_told_of(app: App, sandbox: Sandbox) -> None:
    sandbox.fail("download", "server_error", times=2)
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert not said(sandbox, LATER)


async def test_a_picture_that_waits_for_its_file_holds_back_nobody(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither other people, nor the same person's next pictures, nor the rest of its album."""
    monkeypatch.setattr("bot.captioning.fetching.FETCH_PAUSES", ())
    monkeypatch.setattr("bot.captioning.fetching.LONGEST_PAUSE", 0.05)
    async with working(settings(per_user_limit=1, queue_size=1, picture_memory_mb=0.001), sandbox):
        gate = sandbox.hold("getFile")
        album = await sandbox.send_album(
            [picture(PLAIN, (40 + number, 30)) for number in range(3)], as_files=True
        )
        stuck = path_of(sandbox, album[0])
        sandbox.fail("download", "server_error", times=10**6, only=stuck)
        gate.release()
        for message in album[1:]:
            assert "x 30" in (await reply_to(sandbox, message))["text"]
        assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME, user=OTHER))
        assert answer["text"].startswith("400 x")
        assert [LATER in one["text"] for one in replies_to(sandbox, album[0])] == [True]
        sandbox.faults.clear()
        await sandbox.wait_for(lambda: len(replies_to(sandbox, album[0])) == 2)
        assert "40 x 30" in replies_to(sandbox, album[0])[1]["text"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["download", "getFile"])
async def test_a_file_that_is_gone_for_good_is_said_soon(app: App, sandbox: Sandbox, method: str) -> None:
    sandbox.fail(method, "not_found", times=10**6)
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert "не удалось получить" in answer["text"]
    assert len(sandbox.calls_of(method)) == 4, "as often as there are short pauses, and once more"
    assert not said(sandbox, LATER)


@pytest.mark.usefixtures("quick")
async def test_it_is_told_in_the_topic_that_it_takes_longer(app: App, sandbox: Sandbox) -> None:
    threads = [sandbox.topic(), sandbox.topic()]
    sandbox.fail("download", "server_error", times=40)
    for number, thread in enumerate(threads):
        await sandbox.send_document(
            picture(PLAIN, (40 + number, 30)),
            "a.png",
            chat=GROUP,
            thread=thread,
            caption="@meme_describer_bot",
        )
    answers = await sandbox.wait_for(
        lambda: len(found := sandbox.messages(GROUP, by_bot=True)) == 4 and found
    )
    told = [one["message_thread_id"] for one in answers if LATER in one["text"]]
    assert sorted(told) == threads


async def test_what_waits_for_its_file_is_answered_by_the_next_start(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.captioning.fetching.FETCH_PAUSES", ())
    sandbox.fail("download", "server_error", times=10**6)
    async with working(settings(drain_seconds=0.0), sandbox):
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: said(sandbox, LATER))
    sandbox.faults.clear()
    async with working(settings(), sandbox) as app:
        await sandbox.wait_for(lambda: said(sandbox, "400 x"))

        await until(lambda: settled(app))
    assert len(replies_to(sandbox, photo)) == 2


async def test_no_more_is_in_memory_than_there_is_room_for(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    people = range(2000, 2006)
    data = [picture(PLAIN, (40 + n, 30)) + bytes(100_000) for n in range(len(people))]
    async with working(settings(picture_memory_mb=0.25), sandbox):
        gate = sandbox.hold("download")
        sent = [
            await sandbox.send_document(one, "a.png", user=person)
            for one, person in zip(data, people, strict=True)
        ]
        await sandbox.wait_for(
            lambda: (
                gate.arrived == 2
                and sum(call.status == 200 for call in sandbox.calls_of("getFile")) == len(sent)
            )
        )
        # Whatever they do once their files are known, they have done when this one is answered.
        await reply_to(sandbox, await sandbox.send_text("привет"))
        assert gate.arrived == 2
        gate.release()
        for number, message in enumerate(sent):
            assert (await reply_to(sandbox, message))["text"].startswith(f"{40 + number} x 30")


async def test_a_file_that_cannot_be_fetched_gets_a_sentence_without_the_token(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot.captioning.fetching.FETCH_PAUSES", (0.01, 0.01))
    monkeypatch.setattr("bot.captioning.fetching.FETCH_TIME", 0.0)
    caplog.set_level(logging.DEBUG, "bot")
    sandbox.fail("download", "server_error")
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert "не удалось получить эту картинку" in answer["text"]
    assert sandbox.token.split(":")[1] not in caplog.text


async def test_a_file_too_big_for_the_server_and_one_that_is_gone(app: App, sandbox: Sandbox) -> None:
    for description, sentence in (
        ("Bad Request: file is too big", "слишком большой"),
        ("Bad Request: wrong file_id or the file is temporarily unavailable", "не удалось получить"),
    ):
        sandbox.fail("getFile", "bad_request", description=description)
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        assert sentence in answer["text"]


async def test_a_file_whose_size_is_not_told_is_cut_off_while_it_comes(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(max_file_mb=0.001), sandbox):
        stored = sandbox.world.store(MEME, "documents", ".jpg", "image/jpeg", "meme.jpg")
        told = sandbox.world.file_object(stored, file_name="meme.jpg", mime_type="image/jpeg")
        untold = {key: value for key, value in told.items() if key != "file_size"}
        for document in (told, untold):
            answer = await reply_to(sandbox, await sandbox.send_raw({"document": document}))
            assert "не больше 0.001 МБ" in answer["text"]


async def test_a_file_is_asked_for_soon_at_first_then_seldom_and_as_late_as_the_server_says() -> None:
    tries = FetchTries()
    waits = [tries.failed(FileAway("away")) for _ in FETCH_PAUSES]
    assert [(wait.seconds, wait.long) for wait in waits] == [(pause, False) for pause in FETCH_PAUSES]
    assert not tries.few
    assert tries.failed(FileAway("away")) == Wait(LONGEST_PAUSE, long=True)
    assert tries.failed(FileAway("rate limit", wait=7.0)) == Wait(7.0, long=True)
    with pytest.raises(Unanswerable, match="gone"):
        tries.failed(FileAway("gone", refused=True))


async def test_a_file_that_the_server_does_not_have_may_yet_come() -> None:
    tries = FetchTries()
    for _ in FETCH_PAUSES:
        assert not tries.failed(FileAway("not found", refused=True)).long
    with pytest.raises(Unanswerable, match="not found"):
        tries.failed(FileAway("not found", refused=True))
