"""Telegram's limits, as far as it tells them: what comes faster is refused with 429 and a time to wait."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.api import ApiError

_UNLIMITED = {"getupdates", "getme", "answercallbackquery", "download"}
_CHANGES = ("send", "edit", "copy", "forward")  # how the methods begin that a chat's limits count


@dataclass(slots=True)
class RateLimits:
    """About one message a second in a chat, of which ``burst`` may come at once; so many a minute in a group,
    and a second in all. Edits and chat actions count like messages. What is refused counts for nothing.
    """

    burst: int = 3
    group_per_minute: int = 20
    all_per_second: int = 30
    closed: dict[int, float] = field(default_factory=dict)  # chats that may be told nothing until then
    _chats: defaultdict[int, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _all: deque[float] = field(default_factory=deque)

    def refusal(self, method: str, values: Mapping[str, Any], now: float) -> ApiError | None:
        """Why this call is refused, or None. ``now``: seconds, the event loop's clock."""
        name = method.lower()
        if name in _UNLIMITED:
            return None
        wait = _wait(self._all, self.all_per_second, 1.0, now)
        chat_id = int(values.get("chat_id") or 0)
        counted = self._chats[chat_id] if name.startswith(_CHANGES) else None
        if counted is not None:
            wait = max(wait, self.closed.get(chat_id, now) - now, _wait(counted, self.burst, self.burst, now))
            if chat_id < 0:
                wait = max(wait, _wait(counted, self.group_per_minute, 60.0, now))
        if wait > 0:
            seconds = math.ceil(wait)
            return ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        for gone in (self._all, counted):
            if gone is not None:
                gone.append(now)
        return None


def _wait(gone: deque[float], count: int, seconds: float, now: float) -> float:
    """Seconds until one more may follow those that went, of which so many may come within so many seconds."""
    while gone and gone[0] < now - 60:
        gone.popleft()
    return gone[-count] + seconds - now if len(gone) >= count else 0.0
