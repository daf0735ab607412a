"""The real process (``python -m bot run``), killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import psutil
import pytest

from bot.feedback.states import UNFINISHED
from bot.feedback.store import Store
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from tests.bot.conftest import Json, data_of, replies_to, reply_to, unfinished, until
from tests.bot.forked import Bots, Forked
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import TALKS, WAIT, picture, write_checkpoint

ROOT = Path(__file__).parents[2]
MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


@pytest.fixture
def environment(tmp_path: Path, sandbox: Sandbox) -> dict[str, str]:
    """Only documented settings, and what finds Python and the fake model."""
    write_checkpoint(tmp_path / "models", "fake")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "FAKE_GATE": str(tmp_path / "gate"),
        "BOT_TOKEN": sandbox.token,
        "BOT_API_URL": sandbox.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/bot.db",
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL": "fake",
        "MODELS_DIR": str(tmp_path / "models"),
        "CAPTIONER": "tests.inference.fakes:load",
    }


Starts = Callable[[dict[str, str], Path], AbstractAsyncContextManager[Forked]]


@pytest.fixture
def process(bots: Bots) -> Starts:
    """The bot as its own process; killed at the end if it still runs."""

    @asynccontextmanager
    async def started(environment: dict[str, str], folder: Path) -> AsyncIterator[Forked]:
        running = bots.start("run", environment=environment, folder=folder, log=folder / "bot.log")
        try:
            yield running
        finally:
            running.kill()
            await running.wait()

    return started


async def pending(tmp_path: Path) -> int:
    """Jobs that are not finished, read from the database file itself."""
    states = ", ".join(f"'{state.value}'" for state in UNFINISHED)
    with closing(sqlite3.connect(f"file:{tmp_path}/bot.db?mode=ro", uri=True)) as database:
        (number,) = database.execute(f"SELECT count(*) FROM jobs WHERE state IN ({states})").fetchone()
        return int(number)


async def answered_once(sandbox: Sandbox, tmp_path: Path, message: Json) -> Json:
    """The answer to the message, after everything accepted is finished: there is exactly one."""
    await reply_to(sandbox, message)

    async def settled() -> bool:
        return not await pending(tmp_path)

    await until(settled)
    answers = replies_to(sandbox, message)
    assert len(answers) == 1
    return answers[0]


async def test_killed_while_describing_the_caption_comes_once_after_the_restart(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(environment, tmp_path) as bot:
        photo = await sandbox.send_document(picture(WAIT), "a.png")
        await sandbox.wait_for(lambda: sandbox.calls_of("download"))
        worker = (await until(lambda: children(bot.pid)))[0]
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
        await until(lambda: ended(worker))  # no orphan is left behind
    assert not replies_to(sandbox, photo)
    (tmp_path / "gate").touch()
    async with process(environment, tmp_path):
        answer = await answered_once(sandbox, tmp_path, photo)
        assert answer["text"].startswith("32 x 24")
        # Its buttons work like any other's.
        sandbox.press(answer["message_id"], data_of(answer, "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])


@pytest.mark.parametrize("method", ["getFile", "download"])
async def test_killed_at_any_request_before_the_reply_the_caption_comes_once(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path, method: str
) -> None:
    gate = sandbox.hold(method)
    async with process(environment, tmp_path) as bot:
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    gate.release()
    async with process(environment, tmp_path):
        assert (await answered_once(sandbox, tmp_path, photo))["text"].startswith("400 x")


async def test_what_was_asked_for_in_a_topic_is_answered_there_by_the_next_process(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    thread = sandbox.topic()
    gate = sandbox.hold("download")
    async with process(environment, tmp_path) as bot:
        photos = [
            await sandbox.send_photo(MEME, chat=GROUP, thread=thread, caption="@meme_describer_bot")
            for _ in range(2)
        ]
        await sandbox.wait_for(lambda: gate.arrived == 2)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    del sandbox.world.chats[GROUP].messages[photos[1]["message_id"]]
    async with process(environment, tmp_path):
        await sandbox.wait_for(lambda: sandbox.calls_of("sendChatAction"))  # which takes a second's work
        gate.release()
        await answered_once(sandbox, tmp_path, photos[0])
    said = sandbox.messages(GROUP, by_bot=True)
    assert [one["message_thread_id"] for one in said] == [thread, thread]
    typed = {str(call.params.get("message_thread_id")) for call in sandbox.calls_of("sendChatAction")}
    assert typed == {str(thread)}


async def test_killed_while_the_reply_is_on_its_way_nothing_is_said_twice_and_nothing_lost(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    gate = sandbox.hold("sendMessage")
    async with process(environment, tmp_path) as bot:
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    gate.release()
    await sandbox.wait_for(lambda: sandbox.calls_of("sendMessage")[0].status is not None)
    arrived = len(replies_to(sandbox, photo))  # the stand-in may or may not carry the request out
    async with process(environment, tmp_path):
        await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == arrived + 1)
        note = replies_to(sandbox, photo)[-1]
        assert "Если выше его нет, нажмите кнопку" in note["text"]
        presses = [sandbox.press(note["message_id"], data_of(note, "s:")) for _ in range(2)]  # a quick thumb
        await sandbox.wait_for(
            lambda: sum("400 x" in one["text"] for one in replies_to(sandbox, photo)) == arrived + 1
        )
        await sandbox.wait_for(lambda: note["message_id"] not in sandbox.world.chats[ME].messages)
        await sandbox.wait_for(lambda: all(press.answer is not None for press in presses))
        # What is pressed is handled in its order: when this is answered, so is all that came before.
        later = sandbox.press(replies_to(sandbox, photo)[-1]["message_id"], "x:nothing", stale=True)
        await sandbox.wait_for(lambda: later.answer is not None)
        assert sum("400 x" in one["text"] for one in replies_to(sandbox, photo)) == arrived + 1


async def test_killed_during_a_rate_limit_the_caption_comes_once(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fail("sendMessage", "flood", retry_after=30)
    async with process(environment, tmp_path) as bot:
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: sandbox.calls_of("sendMessage"))

        async def taken_back() -> bool:
            async with await Store.open(environment["DATABASE_URL"], tmp_path / "data") as store:
                return all(job.sending_at is None for job in await unfinished(store))

        await until(taken_back)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    async with process(environment, tmp_path):
        assert (await answered_once(sandbox, tmp_path, photo))["text"].startswith("400 x")


async def test_an_album_killed_in_the_middle_is_finished_in_order(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(environment, tmp_path) as bot:
        pictures = [picture(WAIT, (40 + number, 30)) for number in range(4)]
        album = await sandbox.send_album(pictures, as_files=True)
        await sandbox.wait_for(lambda: sandbox.calls_of("download"))
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    (tmp_path / "gate").touch()
    async with process(environment, tmp_path):
        await sandbox.wait_for(lambda: len(sandbox.messages(by_bot=True)) == 4)
        for message in album:
            await answered_once(sandbox, tmp_path, message)
    said = sandbox.messages(by_bot=True)
    assert [one["reply_to_message"]["message_id"] for one in said] == [one["message_id"] for one in album]


async def test_a_correction_is_taken_by_the_next_process(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    async with process(environment, tmp_path) as bot:
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        sandbox.press(answer["message_id"], data_of(answer, "c:"))
        prompt = await reply_to(sandbox, answer)
        written = await sandbox.send_text("привет")
        await reply_to(sandbox, written)  # handled after the prompt was written down
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    written = await sandbox.send_text("Кот", reply_to=prompt["message_id"])
    async with process(environment, tmp_path):
        assert "сохранено" in (await reply_to(sandbox, written))["text"]


async def test_a_question_is_answered_by_the_next_process(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "models", "talker", card=TALKS)
    environment |= {"MODEL": "talker", "CAPTIONER": "tests.inference.fakes:load_talking"}
    async with process(environment, tmp_path) as bot:
        description = await reply_to(sandbox, await sandbox.send_photo(MEME))
        gate = sandbox.hold("download")
        question = await sandbox.send_text("Кто это?", reply_to=description["message_id"])
        await sandbox.wait_for(lambda: gate.arrived)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    gate.release()
    async with process(environment, tmp_path):
        answer = await answered_once(sandbox, tmp_path, question)
    assert answer["text"].endswith(": Кто это?, до того 1")


async def test_the_place_in_the_queue_is_told_on_and_goes_after_a_restart(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    def notices() -> list[Json]:
        return [one for one in sandbox.messages(by_bot=True) if "в очереди" in one["text"]]

    environment |= {"QUEUE_NOTICE": "2", "PER_USER_LIMIT": "1"}
    gate = sandbox.hold("download")
    async with process(environment, tmp_path) as bot:
        sent = [await sandbox.send_document(picture(size=(40 + number, 30)), "a.png") for number in range(3)]
        (notice,) = await sandbox.wait_for(notices)
        await sandbox.wait_for(lambda: gate.arrived)

        async def written_down() -> bool:
            async with await Store.open(environment["DATABASE_URL"], tmp_path / "data") as store:
                return any(job.notice_message_id for job in await unfinished(store))

        await until(written_down)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    async with process(environment, tmp_path):
        await sandbox.wait_for(lambda: gate.arrived == 2)
        assert notices() == [notice]
        gate.release()
        for one in sent:
            await answered_once(sandbox, tmp_path, one)
        await sandbox.wait_for(lambda: not notices())


async def test_a_second_bot_on_the_same_database_refuses_to_start(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """It would take the pictures in work for those of a dead bot, and answer them too."""
    (tmp_path / "second").mkdir()
    gate = sandbox.hold("download")
    async with process(environment, tmp_path) as bot:
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: gate.arrived)
        async with process(environment, tmp_path / "second") as second:
            async with asyncio.timeout(60):
                assert await second.wait() == 1
        told = (tmp_path / "second" / "bot.log").read_text().splitlines()[-1]
        assert told.startswith(f"Another bot is at work with the database {tmp_path}/bot.db; stop it")
        assert gate.arrived == 1
        gate.release()
        assert (await answered_once(sandbox, tmp_path, photo))["text"].startswith("400 x")
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    async with process(environment, tmp_path / "second"):
        await reply_to(sandbox, await sandbox.send_photo(jpeg_bytes(draw_meme("tweet", width=300))))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_cleanly(
    process: Starts, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    async with process(environment | {"LOG_LEVEL": "DEBUG"}, tmp_path) as bot:
        await reply_to(sandbox, await sandbox.send_photo(MEME))
        bot.send_signal(number)
        async with asyncio.timeout(15):
            assert await bot.wait() == 0
    log = (tmp_path / "bot.log").read_text()
    assert "Stopped." in log
    assert "Traceback" not in log
    assert sandbox.token not in log
    assert sandbox.token.split(":")[1] not in log


async def children(pid: int | None) -> list[psutil.Process]:
    """The processes that this one started."""
    return psutil.Process(pid).children()


async def ended(process: psutil.Process) -> bool:
    """Whether the process is gone."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
