"""A bot that is started with a restored store: nothing old is answered twice, and marks are there."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from bot.feedback.backup.commands import run_backup
from bot.sandbox import Sandbox
from tests.bot.conftest import Json, caption_of, data_of, replies_to, reply_to, until
from tests.bot.test_restart import MEME, Starts, environment, pending, process
from tests.inference.fakes import WAIT, picture

__all__ = ["environment", "process"]  # fixtures

NOTE = "Если выше его нет, нажмите кнопку"


async def test_nothing_that_was_answered_is_answered_anew(
    environment: dict[str, str],
    process: Starts,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    url, data_dir, out = environment["DATABASE_URL"], tmp_path / "data", tmp_path / "backup.tar"
    async with process(environment, tmp_path) as bot:
        marked = await sandbox.send_photo(MEME)
        answer = await reply_to(sandbox, marked)
        sandbox.press(answer["message_id"], data_of(answer, "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])
        waiting = await sandbox.send_document(picture(WAIT), "a.png")
        await sandbox.wait_for(lambda: len(sandbox.calls_of("download")) == 2)
        await asyncio.to_thread(run_backup, url, data_dir, out, print)
        (tmp_path / "gate").touch()
        await reply_to(sandbox, waiting)
        unknown = await sandbox.send_document(picture(size=(50, 30)), "b.png")  # to the backup
        await reply_to(sandbox, unknown)
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    restore = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "restore", "--force", str(out)), env=environment, cwd=tmp_path
    )
    assert await restore.wait() == 0
    restored = time.time()
    # Telegram has not heard that it was done, and sends it again.
    sandbox.world.add_update("message", sandbox.world.public(unknown))
    async with process(environment, tmp_path):
        for message in (waiting, unknown):
            note = await sandbox.wait_for(partial(second_reply, sandbox, message))
            assert NOTE in note["text"]
        # Whoever has not got it presses.
        sandbox.press(note["message_id"], data_of(note, "s:"))
        await sandbox.wait_for(lambda: replies_to(sandbox, unknown)[-1]["text"].startswith("50 x 30"))
        assert len(replies_to(sandbox, marked)) == 1
        # Telegram tells only in which second: what is of the restore's may have been answered before it.
        await until(in_a_later_second_than(restored))
        later = await reply_to(sandbox, await sandbox.send_document(picture(size=(60, 30)), "c.png"))
        assert later["text"].startswith("60 x 30")
        assert caption_of(later) > 10_000_000  # no message of the time between has a button with this number

        async def settled() -> bool:
            return not await pending(tmp_path)

        await until(settled)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        assert database.execute("SELECT mark FROM ratings").fetchall() == [(1,)]


def in_a_later_second_than(moment: float) -> Callable[[], Awaitable[bool]]:
    """``moment``: Unix time, s."""

    async def passed() -> bool:
        return int(time.time()) > moment

    return passed


def second_reply(sandbox: Sandbox, message: Json) -> Json | None:
    """What was said to this message after its answer."""
    replies = replies_to(sandbox, message)
    return replies[1] if len(replies) == 2 else None
