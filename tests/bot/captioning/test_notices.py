"""What a chat is told while its pictures wait."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.app import App
from bot.config import Settings
from bot.sandbox import Sandbox
from tests.bot.conftest import reply_to, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import PLAIN, WAIT, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


async def test_a_typing_notice_that_meets_a_limit_stops_nothing(app: App, sandbox: Sandbox) -> None:
    sandbox.fail("sendChatAction", "flood", times=1000, retry_after=30)
    for _ in range(2):
        assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")
    assert [call.status for call in sandbox.calls_of("sendChatAction")] == [429]  # nor is it asked again


async def test_a_typing_notice_survives_a_limit(
    app: App, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.captioning.typing_notice.PERIOD", 0.05)
    gate = sandbox.hold("download")
    sandbox.fail("sendChatAction", "flood", retry_after=1)
    photo = await sandbox.send_photo(MEME)
    statuses = await sandbox.wait_for(
        lambda: (
            len(sandbox.calls_of("sendChatAction")) > 3
            and [call.status for call in sandbox.calls_of("sendChatAction")]
        )
    )
    assert statuses[0] == 429
    assert 200 in statuses
    gate.release()
    await reply_to(sandbox, photo)


async def test_a_person_waits_in_their_own_queue_and_is_told_the_place(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(per_user_queue=3, queue_notice=2, per_user_limit=1), sandbox):
        gate = sandbox.hold("download")
        sent = [
            await sandbox.send_document(picture(PLAIN, (40 + number, 30)), "a.png") for number in range(4)
        ]
        await sandbox.wait_for(lambda: gate.arrived and len(sandbox.messages(by_bot=True)) == 2)
        texts = sorted(one["text"] for one in sandbox.messages(by_bot=True))
        assert texts[0].startswith("Ваша картинка в очереди: перед ней 2 картинки.")
        assert texts[1].startswith("Я ещё работаю над вашими картинками: их 3.")
        assert gate.arrived == 1  # one at a time for one person
        gate.release()
        # The notice goes away when the picture is answered.
        await sandbox.wait_for(
            lambda: not any("в очереди" in one["text"] for one in sandbox.messages(by_bot=True))
        )
        for message in sent[:3]:
            assert "x 30" in (await reply_to(sandbox, message))["text"]


async def test_a_queue_notice_that_cannot_be_edited_goes_all_the_same(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(words: str) -> list[str]:
        return [one["text"] for one in sandbox.messages(by_bot=True) if words in one["text"]]

    monkeypatch.setattr("bot.captioning.notices.NOTICE_PERIOD", 0.05)
    sandbox.fail("editMessageText", "bad_request", times=1000)
    async with working(settings(queue_notice=2, per_user_limit=1), sandbox):
        gate = sandbox.hold("download")
        for colour in (PLAIN, WAIT, PLAIN):
            await sandbox.send_document(picture(colour), "a.png")
        await sandbox.wait_for(lambda: told("в очереди"))
        gate.release()  # of the first one; the second waits in the worker
        await sandbox.wait_for(lambda: sandbox.calls_of("editMessageText"))
        (tmp_path / "gate").touch()
        await sandbox.wait_for(lambda: len(told("32 x 24")) == 3 and not told("в очереди"))


async def test_typing_is_shown_to_whom_a_picture_is_near_and_not_to_those_behind_many(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.captioning.typing_notice.PERIOD", 0.05)
    people = range(500, 520)

    def typed() -> set[int]:
        return {int(call.params["chat_id"]) for call in sandbox.calls_of("sendChatAction")}

    async with working(settings(), sandbox):
        gate = sandbox.hold("download")
        for number in people:
            await sandbox.send_photo(picture(PLAIN, (40 + number, 30)), user=number)
        await sandbox.wait_for(lambda: gate.arrived == len(people) and len(typed()) > 5)
        assert len(typed()) < 10
        gate.release()
        await sandbox.wait_for(lambda: all(sandbox.messages(number, by_bot=True) for number in people))


async def test_a_place_in_the_queue_is_told_again_when_it_is_much_nearer(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.captioning.notices.NOTICE_PERIOD", 0.01)
    async with working(settings(queue_notice=8, per_user_limit=1), sandbox):
        gate = sandbox.hold("download")
        for number in range(9):
            await sandbox.send_photo(picture(PLAIN, (40 + number, 30)))
        await sandbox.wait_for(lambda: any("перед ней 8" in one["text"] for one in _by_bot(sandbox)))
        gate.release()
        await sandbox.wait_for(lambda: sum("x 30" in one["text"] for one in _by_bot(sandbox)) == 9)
    told = [
        int(next(filter(str.isdigit, call.params["text"])))
        for call in sandbox.calls_of("editMessageText")
        if "в очереди" in call.params["text"]
    ]
    for before, after in pairwise([8, *told]):
        assert after <= 0.75 * before


def _by_bot(sandbox: Sandbox) -> list[dict[str, Any]]:
    return sandbox.messages(by_bot=True)
