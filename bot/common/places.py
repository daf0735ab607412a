"""Places of which there are only so many: whoever waits for what is not the work itself gives theirs back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class HeldPlace:
    """A place among the handlers at work. ``give_back`` is called once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def step_aside(self) -> None:
        """Let somebody else have it: its holder works on without one."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


_held: ContextVar[HeldPlace | None] = ContextVar("held_place", default=None)


@contextmanager
def holding(place: HeldPlace) -> Iterator[None]:
    """Whatever runs in the block holds this place."""
    token = _held.set(place)
    try:
        yield
    finally:
        _held.reset(token)


def step_aside() -> None:
    """Called before a wait that may be long: whoever waits holds up nobody who has work to do."""
    place = _held.get()
    if place is not None:
        place.step_aside()
