"""Requests go as fast as Telegram allows, each chat's in a line of its own."""

from __future__ import annotations

import asyncio

import pytest

from bot.common.places import HeldPlace, holding
from bot.messages import pace
from bot.messages.pace import LIMITS, Limit, Limits, LineClosed, Pacer

FREE = Limit(1000, 0.1)
GROUP = -100


async def moments(pacer: Pacer, chat_id: int, count: int) -> list[float]:
    """When each of so many requests that are made at once went, by the event loop's clock."""
    loop = asyncio.get_running_loop()

    async def go() -> float:
        async with pacer.turn(chat_id):
            return loop.time()

    return await asyncio.gather(*(go() for _ in range(count)))


async def test_no_window_holds_more_than_its_limit() -> None:
    within = Limit(3, 0.2)
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=within, all=FREE))
    gone = await moments(pacer, GROUP, 10)
    assert gone == sorted(gone)
    assert all(later - earlier >= 0.2 for earlier, later in zip(gone, gone[3:], strict=False))
    assert gone[2] - gone[0] < 0.2, "what fits goes at once"


async def test_what_one_chat_waits_for_nobody_else_does() -> None:
    pacer = Pacer(Limits(burst=Limit(1, 0.3), strict=FREE, group=FREE, all=FREE))
    busy, other = await asyncio.gather(moments(pacer, 1, 3), moments(pacer, 2, 1))
    assert other[0] < busy[1] < busy[2]


async def test_all_chats_together_have_a_limit() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=Limit(2, 0.2)))
    gone = sorted(
        one for many in await asyncio.gather(*(moments(pacer, n, 1) for n in range(6))) for one in many
    )
    assert all(later - earlier >= 0.2 for earlier, later in zip(gone, gone[2:], strict=False))


@pytest.mark.parametrize("bots", [2, 3, 7])
async def test_several_bots_keep_to_what_one_may(bots: int) -> None:
    within = Limit(9, 0.3)
    limits = Limits(burst=FREE, strict=FREE, group=within, all=within)
    pacers = [Pacer(limits, bots=bots) for _ in range(bots)]
    at_once = await asyncio.gather(*(moments(pacer, GROUP, 24 // bots) for pacer in pacers))
    gone = sorted(one for many in at_once for one in many)
    assert all(later - earlier >= 0.3 for earlier, later in zip(gone, gone[9:], strict=False))
    # None is much slower than its share.
    assert gone[-1] - gone[0] < 0.3 * 24 / bots + 0.5


def test_one_bot_may_all_and_several_may_not_burst_as_one() -> None:
    assert LIMITS.shared_by(1) == LIMITS
    two = LIMITS.shared_by(2)
    assert (two.all.count, two.group.count, two.burst.count, two.strict.count) == (15, 10, 2, 1)
    for mine, whole in ((two.burst, LIMITS.burst), (two.strict, LIMITS.strict)):
        assert 2 * mine.count / mine.seconds == pytest.approx(whole.count / whole.seconds)


async def test_a_turn_is_for_one_request() -> None:
    """The request goes in the turn that was waited for; a second one waits for its own."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(Limits(burst=Limit(1, 0.2), strict=FREE, group=FREE, all=FREE))
    async with pacer.turn(1):
        began = loop.time()
        async with pacer.turn(1):
            assert loop.time() - began < 0.1
        async with pacer.turn(1):
            assert loop.time() - began >= 0.2


async def test_what_is_worth_little_leaves_room() -> None:
    pacer = Pacer(Limits(burst=Limit(3, 5.0), strict=FREE, group=FREE, all=FREE))
    assert [pacer.take_spare(1) for _ in range(3)] == [True, True, False]
    assert pacer.take_spare(2)
    began = asyncio.get_running_loop().time()
    assert (await moments(pacer, 1, 1))[0] - began < 1


async def test_what_is_worth_little_leaves_room_to_those_who_wait_elsewhere() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=Limit(4, 0.3)))
    waiting = [asyncio.create_task(moments(pacer, chat, 1)) for chat in range(1, 7)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert not pacer.take_spare(9)
    await asyncio.wait(waiting)
    await asyncio.sleep(0.3)
    assert pacer.take_spare(9)


async def test_a_refusal_closes_one_line_and_ends_bursts() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=Limit(1, 0.2), group=FREE, all=FREE))
    loop = asyncio.get_running_loop()
    began = loop.time()
    pacer.close(1, 0.5)
    assert not pacer.take_spare(1)
    closed, other = await asyncio.gather(moments(pacer, 1, 1), moments(pacer, 2, 2))
    assert closed[0] - began >= 0.5
    assert other[0] - began < 0.2 <= other[1] - began


async def test_a_refusal_of_what_is_worth_little_says_nothing_of_the_rest() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=FREE))
    assert pacer.take_spare(1)
    pacer.close(1, 100, spare=True)
    assert not pacer.take_spare(1)
    async with asyncio.timeout(1):
        await moments(pacer, 1, 1)


async def test_a_line_that_is_closed_for_longer_than_one_waits_is_told() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=FREE))
    pacer.close(GROUP, 100)
    with pytest.raises(LineClosed) as told:
        async with pacer.turn(GROUP, patience=60):
            raise AssertionError
    assert 99 < told.value.seconds <= 100


async def test_where_several_chats_are_refused_at_once_all_wait() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=FREE))
    began = asyncio.get_running_loop().time()
    for chat in range(1, pace.SEVERAL + 1):
        pacer.close(chat, 0.2 + chat)
    (gone,) = await moments(pacer, 9, 1)
    assert gone - began >= 1.2, "as long as the first of them"


async def test_who_waits_long_gives_their_place_back() -> None:
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=FREE))
    given: list[int] = []
    with holding(HeldPlace(lambda: given.append(1))):
        await moments(pacer, 1, 2)
        assert not given
        pacer.close(1, 1.1)
        await moments(pacer, 1, 2)
    assert given == [1]


async def test_chats_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_SWEEP", -2.0)  # what is over is over for long
    pacer = Pacer(Limits(burst=FREE, strict=FREE, group=FREE, all=FREE))
    pacer.close(0, 100)
    for chat in range(1, 50):
        await moments(pacer, chat, 1)
    assert len(pacer) <= 2
