"""How fast pictures were answered of late, from which one tells how long others will wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_RECENT = 50  # answered pictures that are looked back on
_ENOUGH = 3  # from so many on something can be told


class Throughput:
    """Of the time in which there was work: what is idle in between says nothing of the pace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_RECENT + 1)  # the first one: when the work began
        self._pace: float | None = None  # seconds a picture

    def begin(self) -> None:
        """There is work again."""
        self._ends.clear()
        self._ends.append(self._clock())

    def done(self) -> None:
        """A picture is answered."""
        self._ends.append(self._clock())
        if len(self._ends) > _ENOUGH:
            self._pace = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    def seconds_for(self, pictures: int) -> float | None:
        """How long so many will take; None: too few were answered."""
        return None if self._pace is None else self._pace * pictures
