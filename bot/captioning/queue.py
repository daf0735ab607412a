"""What waits to be answered, in which order, and who is worked for at the same time."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import chain, count
from weakref import WeakValueDictionary

from bot.captioning.models import is_elsewhere
from bot.captioning.throughput import Throughput
from bot.feedback.tables import Job

_NEAR = 8  # of a line's pictures, the first: they are or soon will be described


class QueueFull(Exception):  # noqa: N818 - a state
    """This person has ``waiting`` unanswered pictures, as many as one may have; they take so many ``seconds``
    (None: nobody knows yet).
    """

    def __init__(self, waiting: int, seconds: float | None) -> None:
        super().__init__(f"{waiting} pictures are waiting")
        self.waiting = waiting
        self.seconds = seconds


class LanePlace:
    """A job's place in its lane: behind one, and before the next."""

    def __init__(self, before: asyncio.Event | None, passed: asyncio.Event) -> None:
        self._before = before
        self._passed = passed

    async def come(self) -> None:
        """Wait until the one before is answered, or has stepped aside."""
        if self._before is not None:
            await self._before.wait()

    def step_aside(self) -> None:
        """Hold back no longer what comes behind."""
        self._passed.set()


class _Line:
    """Unfinished jobs that wait for the same machine, by number in the order of their acceptance."""

    def __init__(self, at_once: int, per_person: int, clock: Callable[[], float]) -> None:
        self.jobs: dict[int, Job] = {}
        self.throughput = Throughput(clock)
        # Who is ahead is asked for every picture, and more often the more of them wait.
        self._order: list[int] = []  # ascending; of each job one
        self._places: dict[int, int] = {}  # in that order, by job
        self._next = count()
        self._per_person = per_person
        self._all = asyncio.Semaphore(at_once)
        self._shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    def add(self, job: Job) -> bool:
        """Let it wait behind all others; False: it waits already, and keeps its place."""
        if job.id in self.jobs:
            self.jobs[job.id] = job
            return False
        if not self.jobs:
            self.throughput.begin()
        self.jobs[job.id] = job
        self._places[job.id] = next(self._next)
        self._order.append(self._places[job.id])
        return True

    def remove(self, job: Job) -> bool:
        """Forget it; False: it does not wait."""
        if self.jobs.pop(job.id, None) is None:
            return False
        del self._order[bisect_left(self._order, self._places.pop(job.id))]
        self.throughput.done()
        return True

    def ahead_of(self, job: Job) -> int:
        """How many are before this one."""
        place = self._places.get(job.id)
        return 0 if place is None else bisect_left(self._order, place)

    @asynccontextmanager
    async def turn(self, user_id: int) -> AsyncIterator[None]:
        """See :meth:`Queue.turn`."""
        # The person's own share first: somebody with a hundred pictures must not fill the common line.
        share = self._shares.setdefault(user_id, asyncio.Semaphore(self._per_person))
        async with share, self._all:
            yield


class Queue:
    """Every unfinished job of this process.

    Those whose model another server runs stand in a line of their own: however slow it is, the others neither
    wait for it nor count its pictures. Of each line ``at_once`` jobs are in work, ``per_person`` of them one
    person's. ``waiting_per_person``: unanswered pictures that one person may have, in both.
    """

    def __init__(
        self,
        *,
        at_once: int,
        per_person: int,
        waiting_per_person: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting_per_person = waiting_per_person
        self._lines = {elsewhere: _Line(at_once, per_person, clock) for elsewhere in (False, True)}
        self._accepting: Counter[int] = Counter()  # by person, as below
        self._waiting: Counter[int] = Counter()
        self._lanes: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def __len__(self) -> int:
        return sum(len(line.jobs) for line in self._lines.values())

    def __iter__(self) -> Iterator[Job]:
        return chain.from_iterable(line.jobs.values() for line in self._lines.values())

    def _line(self, job: Job) -> _Line:
        return self._lines[is_elsewhere(job.model)]

    @contextmanager
    def accepting(self, user_id: int) -> Iterator[None]:
        """Around the writing of one picture's jobs. Raises QueueFull when the person has too many already."""
        waiting = self._accepting[user_id] + self._waiting[user_id]
        if waiting >= self._waiting_per_person:
            times = [self.seconds_for(job) for job in self if job.user_id == user_id]
            raise QueueFull(waiting, max((time for time in times if time is not None), default=None))
        self._accepting[user_id] += 1  # handlers run side by side: those half-way count too
        try:
            yield
        finally:
            _take_one(self._accepting, user_id)

    def add(self, jobs: Iterable[Job]) -> None:
        """Let them wait behind all others; one that waits keeps its place."""
        for job in jobs:
            if self._line(job).add(job):
                self._waiting[job.user_id] += 1

    def remove(self, job: Job) -> None:
        """It is answered, or nobody works on it any more."""
        if self._line(job).remove(job):
            _take_one(self._waiting, job.user_id)

    def is_near(self, job: Job) -> bool:
        """Whether only a few pictures are before this one in its line."""
        line = self._line(job)
        return job.id in line.jobs and line.ahead_of(job) < _NEAR

    def ahead_of(self, job: Job) -> int:
        """How many pictures are before this one in its line."""
        return self._line(job).ahead_of(job)

    def seconds_for(self, job: Job) -> float | None:
        """About how long it takes until this job is answered, at the pace of late; None: nobody knows yet."""
        return self._line(job).throughput.seconds_for(self.ahead_of(job) + 1)

    def enter_lane(self, lane: str | None) -> LanePlace:
        """A place behind all in this lane; None: a lane of its own."""
        passed = asyncio.Event()
        before = None if lane is None else self._lanes.get(lane)
        if lane is not None:
            self._lanes[lane] = passed
        return LanePlace(before, passed)

    def turn(self, job: Job) -> AbstractAsyncContextManager[None]:
        """A place in the work while the block runs, as soon as there is one for this job's person."""
        return self._line(job).turn(job.user_id)


def _take_one(counted: Counter[int], user_id: int) -> None:
    """Count one less, and forget who has none."""
    counted[user_id] -= 1
    if not counted[user_id]:
        del counted[user_id]
