"""What the real bot process survives: being killed, losing its worker, and a server in trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import Call
from bot.sandbox.world import Json
from tests.bot.conftest import caption_of, data_of
from tests.drawing import draw_meme, jpeg_bytes
from tests.e2e.fakes import TEXT
from tests.e2e.processes import BotProcess, fake_settings, running

MEME = jpeg_bytes(draw_meme("caption_bar", width=320))
OTHER = jpeg_bytes(draw_meme("two_frames", width=320))
LAST = jpeg_bytes(draw_meme("tweet", width=320))


def answers(sandbox: Sandbox, photo: Json) -> list[Json]:
    """The bot's messages that answer this one."""
    return [
        message
        for message in sandbox.messages(photo["chat"]["id"], by_bot=True)
        if message.get("reply_to_message", {}).get("message_id") == photo["message_id"]
    ]


def captions(sandbox: Sandbox, photo: Json) -> list[Json]:
    return [message for message in answers(sandbox, photo) if TEXT in message["text"]]


async def captioned_once(sandbox: Sandbox, photo: Json) -> None:
    """The caption of `photo` comes, and only one: a later picture is answered, and there is no second."""
    await sandbox.wait_for(lambda: captions(sandbox, photo), 120)
    later = await sandbox.send_photo(LAST)
    await sandbox.wait_for(lambda: captions(sandbox, later), 120)
    assert len(answers(sandbox, photo)) == 1


async def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true result of a condition that gives no signal; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not (result := condition()):  # noqa: ASYNC110 - a file of another process has no event to wait for
            await asyncio.sleep(0.02)
        return result


def begun(bot: BotProcess) -> list[dict[str, Any]]:
    """What the worker processes began so far: process id and size of the picture."""
    return [json.loads(line) for line in bot.begun.read_text().splitlines()] if bot.begun.exists() else []


# --- killed ---


@pytest.mark.parametrize("method", ["getFile", "download"])
async def test_killed_while_it_fetches_the_picture(bot: BotProcess, sandbox: Sandbox, method: str) -> None:
    gate = sandbox.hold(method)
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: gate.arrived)
    await bot.kill()
    assert answers(sandbox, photo) == []
    gate.release()
    await bot.start()
    await captioned_once(sandbox, photo)


async def test_killed_while_the_worker_describes_the_picture(bot: BotProcess, sandbox: Sandbox) -> None:
    bot.gate.touch()
    photo = await sandbox.send_photo(MEME)
    (first,) = await until(lambda: begun(bot))
    await bot.kill()
    bot.gate.unlink()
    # The worker notices that nobody listens: no orphan stays behind.
    await until(lambda: not psutil.pid_exists(first["pid"]))
    assert answers(sandbox, photo) == []
    await bot.start()
    await captioned_once(sandbox, photo)


async def test_killed_with_an_album_in_work(bot: BotProcess, sandbox: Sandbox) -> None:
    bot.gate.touch()
    album = await sandbox.send_album([MEME, OTHER, jpeg_bytes(draw_meme("photo", width=320))])
    await until(lambda: begun(bot))
    await bot.kill()
    bot.gate.unlink()
    await bot.start()
    for photo in album:
        await captioned_once(sandbox, photo)


async def test_killed_again_and_again(bot: BotProcess, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: captions(sandbox, photo), 120)
    waiting = []
    for round_ in range(3):
        gate = sandbox.hold("getFile")
        waiting.append(await sandbox.send_photo(jpeg_bytes(draw_meme("photo", width=200 + round_))))
        await sandbox.wait_for(partial(getattr, gate, "arrived"))
        await bot.kill()
        sandbox.faults.clear()
        await bot.start()
    for one in waiting:
        await captioned_once(sandbox, one)
    assert len(answers(sandbox, photo)) == 1  # what was answered before is not answered anew


async def test_a_picture_sent_while_it_was_down(bot: BotProcess, sandbox: Sandbox) -> None:
    await bot.kill()
    photo = await sandbox.send_photo(MEME)
    await bot.start()
    await captioned_once(sandbox, photo)


async def test_stopped_in_order_it_finishes_what_is_in_work(bot: BotProcess, sandbox: Sandbox) -> None:
    bot.gate.touch()
    photo = await sandbox.send_photo(MEME)
    await until(lambda: begun(bot))
    assert bot.process is not None
    bot.process.send_signal(signal.SIGTERM)
    bot.gate.unlink()
    assert await asyncio.wait_for(bot.process.wait(), 120) == 0
    await bot.start()
    await captioned_once(sandbox, photo)


async def test_the_worker_killed_in_the_middle_of_a_picture(bot: BotProcess, sandbox: Sandbox) -> None:
    bot.gate.touch()
    photo = await sandbox.send_photo(MEME)
    (first,) = await until(lambda: begun(bot))
    os.kill(first["pid"], signal.SIGKILL)
    bot.gate.unlink()
    await captioned_once(sandbox, photo)
    assert len({one["pid"] for one in begun(bot)}) == 2
    assert bot.process is not None
    assert bot.process.returncode is None


async def test_a_mark_and_a_prompt_outlive_a_kill(bot: BotProcess, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME)
    (reply,) = await sandbox.wait_for(lambda: captions(sandbox, photo), 120)
    sandbox.press(reply["message_id"], data_of(reply, "c:"))
    prompt = await sandbox.wait_for(lambda: [one for one in sandbox.messages(by_bot=True) if "_page" in one])
    # The bot knows the prompt only once it was told its number: a first press behind it proves that.
    first = sandbox.press(reply["message_id"], data_of(reply, f"r:{caption_of(reply)}:2"))
    await sandbox.wait_for(lambda: first.answer)
    await bot.kill()
    pressed = sandbox.press(reply["message_id"], data_of(reply, f"r:{caption_of(reply)}:5"))
    correction = await sandbox.send_text("как надо", reply_to=prompt[0]["message_id"])
    await bot.start()
    await sandbox.wait_for(lambda: pressed.answer and answers(sandbox, correction))
    await sandbox.wait_for(lambda: "Ваша оценка: 5 из 5" in reply["text"])
    await bot.command("export", "--out", str(bot.folder / "out"), "--format", "csv")
    exported = (bot.folder / "out" / "feedback.csv").read_text("utf-8")
    assert "как надо" in exported
    assert ",5," in exported


# --- a server in trouble ---


@pytest.mark.parametrize("method", ["sendMessage", "getFile", "download", "getUpdates"])
async def test_a_flood_of_429(bot: BotProcess, sandbox: Sandbox, method: str) -> None:
    sandbox.fail(method, "flood", times=3, retry_after=1)
    photo = await sandbox.send_photo(MEME)
    await captioned_once(sandbox, photo)
    assert 429 in [call.status for call in sandbox.calls_of(method)]


@pytest.mark.parametrize("method", ["sendMessage", "getFile", "getUpdates"])
async def test_the_wait_that_the_server_asks_for_is_kept(
    bot: BotProcess, sandbox: Sandbox, method: str
) -> None:
    sandbox.fail(method, "flood", times=2, retry_after=2)
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: captions(sandbox, photo), 120)

    def from_the_first() -> list[Call]:
        calls = sandbox.calls_of(method)
        return calls[[call.status for call in calls].index(429) :]

    await sandbox.wait_for(lambda: len(from_the_first()) >= 3)
    first, second, third = from_the_first()[:3]
    assert second.status == 429
    assert third.status in (None, 200)  # a poll may still be waiting
    assert second.at - first.at >= 2
    assert third.at - second.at >= 2


@pytest.mark.parametrize("kind", ["server_error", "reset"])
@pytest.mark.parametrize("method", ["getUpdates", "getFile", "download"])
async def test_a_server_that_breaks(bot: BotProcess, sandbox: Sandbox, method: str, kind: Any) -> None:
    sandbox.fail(method, kind, times=2)
    photo = await sandbox.send_photo(MEME)
    await captioned_once(sandbox, photo)


async def test_a_second_poller_comes_and_goes(bot: BotProcess, sandbox: Sandbox) -> None:
    await sandbox.wait_for(lambda: sandbox.online)
    await sandbox.api.call("getUpdates", {"timeout": "0"})
    photo = await sandbox.send_photo(MEME)
    await captioned_once(sandbox, photo)
    assert 409 in [call.status for call in sandbox.calls_of("getUpdates")]


async def test_a_person_who_blocks_the_bot_is_left_alone(bot: BotProcess, sandbox: Sandbox) -> None:
    gate = sandbox.hold("getFile")
    photo = await sandbox.send_photo(MEME, user=77)
    await sandbox.wait_for(lambda: gate.arrived)
    sandbox.block(77)
    gate.release()
    sandbox.faults.clear()
    other = await sandbox.send_photo(OTHER)
    await captioned_once(sandbox, other)
    refused = [call for call in sandbox.calls_of("sendMessage") if call.status == 403]
    assert len(refused) <= 1
    assert answers(sandbox, photo) == []


async def test_the_token_is_in_no_log(sandbox: Sandbox, tmp_path: Path) -> None:
    async with running(sandbox, tmp_path, fake_settings(tmp_path) | {"LOG_LEVEL": "DEBUG"}) as bot:
        for kind in ("server_error", "reset"):
            sandbox.fail("download", kind, times=1)
            sandbox.fail("getUpdates", kind, times=1)
        photo = await sandbox.send_photo(MEME)
        await captioned_once(sandbox, photo)
        assert await bot.stop() == 0
        assert bot.log()
        assert sandbox.token not in bot.log()
        assert sandbox.token.split(":")[1] not in bot.log()


async def test_a_wrong_token_ends_the_bot_with_one_sentence(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = fake_settings(tmp_path) | {"BOT_TOKEN": "123456:wrong"}
    with pytest.raises(AssertionError, match="BOT_TOKEN"):
        async with running(sandbox, tmp_path, settings):
            raise RuntimeError("it started with a wrong token")


async def test_nothing_is_answered_to_the_wrong_person(bot: BotProcess, sandbox: Sandbox) -> None:
    photos = [
        await sandbox.send_photo(jpeg_bytes(draw_meme("photo", width=200 + user)), user=user)
        for user in range(1, 9)
    ]
    for photo in photos:
        await sandbox.wait_for(partial(captions, sandbox, photo), 120)
    for photo in photos:
        (reply,) = captions(sandbox, photo)
        assert f"Размер {photo['photo'][-1]['width']} на" in reply["text"]
        assert reply["chat"]["id"] == photo["from"]["id"] != ME
