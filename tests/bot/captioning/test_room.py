"""Room for bytes in memory."""

from __future__ import annotations

import asyncio

from bot.captioning.room import Room


async def test_room_is_given_in_order_and_the_largest_gets_all_of_it() -> None:
    room, order = Room(10), []
    holding = [asyncio.Event() for _ in range(5)]

    async def hold(number: int, wanted: int) -> None:
        async with room.of(wanted):
            order.append(number)
            await holding[number].wait()

    tasks = [asyncio.create_task(hold(number, wanted)) for number, wanted in enumerate((6, 6, 99, 1, 1))]
    await asyncio.sleep(0)
    assert order == [0], "a small one does not pass a large one by"
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert order == [0]
    holding[0].set()
    await tasks[0]
    await asyncio.sleep(0)
    assert order == [0, 2]
    holding[2].set()
    await tasks[2]
    await asyncio.sleep(0)
    assert order == [0, 2, 3, 4]
    for event in holding:
        event.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1), room.of(10):
        pass  # all of it is free again
