"""The order in which pictures wait, and whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from bot.captioning.queue import Queue, QueueFull
from bot.feedback.tables import Job


def job(number: int, user_id: int = 1, model: str = "meme-small") -> Job:
    return Job(id=number, user_id=user_id, model=model)


def queue(*, at_once: int = 9, per_person: int = 9, waiting_per_person: int = 9) -> Queue:
    return Queue(at_once=at_once, per_person=per_person, waiting_per_person=waiting_per_person)


async def test_a_picture_knows_how_many_were_accepted_before_it() -> None:
    line, jobs = queue(), [job(number) for number in (7, 3, 5)]
    line.add(jobs)
    line.add([jobs[0]])  # it keeps its place
    assert [line.ahead_of(one) for one in jobs] == [0, 1, 2]
    line.remove(jobs[1])
    assert [line.ahead_of(one) for one in jobs] == [0, 0, 1]
    assert [one.id for one in line] == [7, 5]


async def test_the_first_few_pictures_are_near_their_turn() -> None:
    line, jobs = queue(), [job(number) for number in range(20)]
    line.add(jobs)
    near = [one.id for one in jobs if line.is_near(one)]
    assert near == list(range(len(near))) and 1 < len(near) < 10
    line.remove(jobs[0])
    assert [line.is_near(one) for one in (jobs[0], jobs[len(near)])] == [False, True]


async def test_pictures_that_are_half_accepted_count_too() -> None:
    line = queue(waiting_per_person=2)
    line.add([job(1)])
    with line.accepting(1):
        with pytest.raises(QueueFull) as full, line.accepting(1):
            pass
        assert full.value.waiting == 2
        with line.accepting(2):
            pass  # somebody else's
    with line.accepting(1):
        pass  # it was not written down after all


async def test_one_person_does_not_fill_the_common_queue() -> None:
    line, order, going_on = queue(at_once=2, per_person=1), list[str](), asyncio.Event()

    async def work(user_id: int, name: str) -> None:
        async with line.turn(job(1, user_id)):
            order.append(name)
            await going_on.wait()

    tasks = [asyncio.create_task(work(*one)) for one in ((1, "a"), (1, "b"), (2, "c"), (3, "d"))]
    for _ in range(3):
        await asyncio.sleep(0)
    assert order == ["a", "c"]
    going_on.set()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["a", "b", "c", "d"]


async def test_who_waits_for_a_server_elsewhere_stands_in_a_line_of_their_own() -> None:
    line, order, going_on = queue(at_once=2, per_person=2, waiting_per_person=5), list[int](), asyncio.Event()
    served = [job(number, user_id=number, model="openai:slow") for number in range(4)]
    here = [job(number, user_id=1, model="meme-small") for number in (10, 11)]
    line.add([*served, *here])
    assert (len(line), [one.id for one in line]) == (6, [10, 11, 0, 1, 2, 3])
    assert [line.ahead_of(one) for one in (*served, *here)] == [0, 1, 2, 3, 0, 1]

    async def work(one: Job) -> None:
        async with line.turn(one):
            order.append(one.id)
            await going_on.wait()

    tasks = [asyncio.create_task(work(one)) for one in (*served, *here)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert order == [0, 1, 10, 11]  # though the server takes no more
    with pytest.raises(QueueFull) as full, line.accepting(1):  # what waits in both is one person's
        line.add([job(number, user_id=1) for number in (12, 13)])
        with line.accepting(1):
            pass
    assert full.value.waiting == 6
    going_on.set()
    await asyncio.gather(*tasks)


async def test_each_line_has_a_pace_of_its_own() -> None:
    moment = 0.0
    line = Queue(at_once=9, per_person=9, waiting_per_person=9, clock=lambda: moment)
    served, here = ([job(start + n, model=m) for n in range(9)] for start, m in ((0, "openai:x"), (100, "a")))
    line.add([*served, *here])
    for slow, quick in zip(served[:4], here[:4], strict=True):
        moment += 2
        line.remove(quick)
        moment += 28
        line.remove(slow)
    assert line.seconds_for(served[4]) == pytest.approx(30)
    for quick in here[4:8]:
        moment += 2
        line.remove(quick)
    assert line.seconds_for(served[5]) == pytest.approx(60)
    assert line.seconds_for(here[8]) == pytest.approx((4 * 30 + 4 * 2) / 8)


async def test_those_of_one_lane_come_in_order_unless_one_steps_aside() -> None:
    line, order = queue(), list[int]()
    places = [line.enter_lane("album") for _ in range(3)]

    async def come(number: int) -> None:
        await places[number].come()
        order.append(number)

    tasks = [asyncio.create_task(come(number)) for number in (2, 1, 0)]
    await tasks[2]
    assert order == [0]
    places[1].step_aside()  # its file is away: what comes behind it is not held back
    await tasks[0]
    assert order == [0, 2]
    places[0].step_aside()
    await tasks[1]
    assert order == [0, 2, 1]


async def test_a_lane_of_ones_own_waits_for_nobody() -> None:
    line = queue()
    first, second = line.enter_lane("album"), line.enter_lane(None)
    await second.come()
    await line.enter_lane("another album").come()
    await first.come()


async def test_a_full_queue_tells_how_long_it_takes_at_the_pace_of_late() -> None:
    moment = 0.0
    line = Queue(at_once=9, per_person=9, waiting_per_person=4, clock=lambda: moment)
    jobs = [job(number, user_id=1 + number // 6) for number in range(10)]
    line.add(jobs)
    with pytest.raises(QueueFull) as full, line.accepting(2):
        pass
    assert full.value.seconds is None  # nothing was answered yet
    for one in jobs[:4]:
        moment += 30
        line.remove(one)
    with pytest.raises(QueueFull) as full, line.accepting(2):
        pass
    assert full.value.seconds == 6 * 30
    for one in jobs[4:]:
        line.remove(one)
    moment += 3600  # in which there was nothing to do
    line.add([job(20)])
    moment += 20
    assert line.seconds_for(job(20)) == pytest.approx((6 * 0 + 4 * 30) / 10)
