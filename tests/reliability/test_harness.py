"""The commands of this package count what there is to count; in little, four of them run here."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from bot.feedback.store import Store
from bot.sandbox import Sandbox
from bot.sandbox.world import Json
from tests.bot.conftest import address_of_database
from tests.e2e.fakes import TEXT
from tests.reliability import chat_limits, large_store, loop, probes
from tests.reliability.harness import (
    LATER,
    Count,
    Probes,
    RandomFaults,
    pictures,
    send_pictures,
    until,
)
from tests.reliability.large import DAYS, Size


async def _say(sandbox: Sandbox, answered: Json, text: str) -> None:
    """As the bot."""
    await sandbox.api.call(
        "sendMessage",
        {
            "chat_id": answered["chat"]["id"],
            "text": text,
            "reply_parameters": {"message_id": answered["message_id"]},
        },
    )


async def test_lost_doubled_and_noted_pictures_are_told_apart(sandbox: Sandbox) -> None:
    once, twice, noted, lost = sent = await send_pictures(sandbox, pictures(4), 4)
    for message, text in (
        (once, TEXT),
        (twice, TEXT),
        (twice, TEXT),
        (noted, "… нажмите кнопку"),
        (lost, LATER),
    ):
        await _say(sandbox, message, text)
    assert Count.of(sandbox, sent) == Count(4, lost=1, doubled=1, doubled_unasked=1, noted=1)


async def test_so_many_calls_fail_as_shall() -> None:
    faults = RandomFaults(seed=1)
    assert not any(faults.take("sendMessage", {}) for _ in range(100))
    faults.share = 0.1
    taken = [faults.take("sendMessage", {}) for _ in range(2000)]
    assert 150 < sum(one is not None for one in taken) < 250
    assert {one.kind for one in taken if one is not None} == set(RandomFaults.KINDS)


async def test_health_is_told_by_phases(unused_tcp_port: int) -> None:
    well = True

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if well else 503)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    async with Probes(unused_tcp_port) as health:
        health.now("trouble")
        await until(lambda: health.seconds_until("trouble", well=True) < 100, 60)
        well = False
        await until(lambda: health.seconds_until("trouble", well=False) < 100, 60)
        assert health.seconds_until("trouble", well=True) == float("inf"), "it is not so any more"
        assert {one.status for one in health.said("trouble", "/readyz")} == {200, 503}
        assert {one.status for one in health.said("trouble", "/healthz")} == {404}
    await runner.cleanup()


async def test_the_command_about_limits_in_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_limits, "CLOSED", 3.0)
    monkeypatch.setattr(chat_limits, "COMMANDS", 20)
    result = await chat_limits.measure(6, 3, 2, tmp_path, asking=4)
    assert (result.count.pictures, result.count.lost, result.count.doubled) == (8, 0, 0)
    assert len(result.others) == 4


async def test_the_command_about_the_loop_in_little(tmp_path: Path) -> None:
    result = await loop.measure(6, 3, tmp_path)
    assert (result.count.lost, result.count.doubled, result.typing_for_nothing) == (0, 0, 0)


async def test_the_command_about_the_probes_in_little(tmp_path: Path) -> None:
    phases = await probes.measure(6, 3, 1000, 2.0, tmp_path)
    assert [(one.name, one.ready) for one in phases] == [
        ("starting", False),
        ("ready", True),
        ("under load", True),
        ("database away", False),
        ("database back", True),
        ("stopping", False),
    ]
    for one in phases:
        assert one.told_after < 30, one.name
        assert not one.falsely_dead
        assert len(one.milliseconds()) == 3


async def test_the_command_about_a_large_store_in_little(tmp_path: Path) -> None:
    url, size = await address_of_database(tmp_path / "bot.db"), Size(1000, 3000)
    found = await large_store.measure(url, tmp_path / "data", size, "0015")
    assert {"A mark: median", "/stats", "The operator's page, 30 days"} <= found.said.keys()
    async with await Store.open(url, tmp_path / "data") as store:
        days = await store.overview.course(DAYS + 1)  # it may be past midnight
        assert sum(day.marks > 0 for day in days) >= DAYS
        marks = sum(model.ratings for model in (await store.reports.stats()).models)
        assert sum(day.marks for day in days) == marks > 2000  # some people were erased
        assert len(await store.overview.disliked(DAYS + 1, most=20)) == 20
