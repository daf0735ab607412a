"""Keeps to Telegram's limits, so that requests need not run into them.

Telegram tells them roughly (core.telegram.org/bots/faq): about one message a second in a chat, where short
bursts pass; 20 a minute in a group; about 30 a second in all. Edits count like messages, says the Bot API's
maintainer; deletions and answers to presses hardly do. Of typing notices nobody says so: they are counted.
Asking for files counts in all, since operators saw more than some 15 a second refused.

What a chat must wait for is waited for in that chat's own line. What Telegram refuses for a while (429)
closes that line alone, since its answer does not tell whose limit it was: only where it refuses several
chats at once do all wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aiogram.exceptions import AiogramError

from bot.common.places import step_aside

ChatId = int | str
LONGEST_WAIT = 60.0  # seconds: what Telegram refuses for longer is given up at once
BRIEF = 1.0  # seconds for which a handler may wait for its turn and keep its place
CROWDED = 500  # requests that wait in one chat's line: further commands from there are not handled
STRICT_FOR = 3600.0  # seconds without bursts after a refusal
SEVERAL = 3  # chats refused within a second, which cannot be the limit of one
_SWEEP = 60.0  # seconds between looks for lines that nobody needs any more


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` requests within any ``seconds``."""

    count: int
    seconds: float

    def share(self, bots: int, *, least: int = 1) -> Limit:
        """What one of so many bots may do for all to keep to it; ``least``: so many may go at once."""
        count = min(self.count, max(self.count // bots, least))
        return Limit(count, self.seconds * max(1.0, bots * count / self.count))


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept to. Seconds are a little longer than Telegram's: requests are not all as fast."""

    burst: Limit = Limit(3, 3.1)  # in one chat
    strict: Limit = Limit(1, 1.1)  # in one chat, after bursts were refused
    group: Limit = Limit(20, 61.0)  # in one group or channel, besides
    all: Limit = Limit(30, 1.1)

    def shared_by(self, bots: int) -> Limits:
        """What each of so many bots of one token keeps to: none knows what the others send."""
        return Limits(
            # Rarely do two speak in one chat at a moment: what is typed need not hold up what it announces.
            burst=self.burst.share(bots, least=2),
            strict=self.strict.share(bots),
            group=self.group.share(bots),
            all=self.all.share(bots),
        )


LIMITS = Limits()


class LineClosed(AiogramError):  # noqa: N818 - a state
    """Telegram wants to hear nothing about this chat for so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"closed for {seconds:.0f} s")
        self.seconds = seconds


@dataclass(slots=True)
class _Request:
    """One that was let through. ``at``: when, by the event loop's clock; in the end, when it was answered."""

    at: float
    chat_id: ChatId | None
    used: bool = False  # by what was to be sent in its turn


class _Line:
    """Requests that wait, one behind the other, and those that went."""

    def __init__(self) -> None:
        self.waiting = 0
        self._order = asyncio.Lock()
        self.closed_until = 0.0
        self.nothing_spare_until = 0.0
        self._gone: deque[_Request] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be the first in the line while the block runs."""
        self.waiting += 1
        try:
            async with self._order:
                yield
        finally:
            self.waiting -= 1

    def opens_at(self, limits: Sequence[Limit]) -> float:
        """When the next one may go."""
        moments = sorted(request.at for request in self._gone)
        within = [moments[-limit.count] + limit.seconds for limit in limits if len(moments) >= limit.count]
        return max(self.closed_until, *within, 0.0)

    def is_half_free(self, limits: Sequence[Limit], now: float) -> bool:
        """Whether nobody waits and less than half of each limit is used."""
        if self.waiting or max(self.closed_until, self.nothing_spare_until) > now:
            return False
        return all(
            sum(request.at > now - limit.seconds for request in self._gone) < limit.count / 2
            for limit in limits
        )

    def let(self, request: _Request, limits: Sequence[Limit]) -> None:
        """Write down that this one goes, and forget those that count no more."""
        self._gone.append(request)
        longest = max((limit.seconds for limit in limits), default=0.0)
        while self._gone and self._gone[0].at < request.at - longest:
            self._gone.popleft()

    def is_needed(self, now: float) -> bool:
        """Whether anything about it matters yet."""
        last = self._gone[-1].at if self._gone else 0.0
        closed_until = max(self.closed_until, self.nothing_spare_until)
        return bool(self.waiting or closed_until > now or last > now - _SWEEP - 1)


_turn: ContextVar[_Request | None] = ContextVar("turn", default=None)


class Pacer:
    """Lets requests go, each when its chat and all chats together have room for it.

    ``bots``: how many of one token share the limits. ``waited`` is told how many seconds each had to wait.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        bots: int = 1,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._waited = waited
        self._limits = (limits or LIMITS).shared_by(bots)
        self._lines: dict[ChatId | None, _Line] = {}  # None: what is about no chat
        self._all = _Line()
        self._refused: dict[ChatId, tuple[float, float]] = {}  # within the last second: when, and until when
        self._strict_until = 0.0
        self._swept = 0.0

    def __len__(self) -> int:
        """Chats of which something is remembered."""
        return len(self._lines)

    def is_crowded(self, chat_id: ChatId) -> bool:
        """Whether so much waits in the chat's line that more would be answered in half an hour."""
        line = self._lines.get(chat_id)
        return line is not None and line.waiting >= CROWDED

    def close(self, chat_id: ChatId | None, seconds: float, *, spare: bool = False) -> None:
        """Telegram has refused something for so long. Of what is ``spare`` that says nothing of the rest."""
        now = _now()
        line = self._line(chat_id)
        if spare:
            line.nothing_spare_until = now + seconds
            return
        line.closed_until = max(line.closed_until, now + seconds)
        if chat_id is None:
            return
        self._strict_until = now + STRICT_FOR
        self._refused = {chat: told for chat, told in self._refused.items() if told[0] > now - 1}
        self._refused[chat_id] = now, now + seconds
        if len(self._refused) >= SEVERAL:
            self._all.closed_until = min(until for _, until in self._refused.values())

    @asynccontextmanager
    async def turn(self, chat_id: ChatId | None, *, patience: float | None = None) -> AsyncIterator[None]:
        """Wait for the chat's turn. The first request about that chat in the block goes at once.

        ``patience``: raises LineClosed where Telegram wants more seconds than these to pass; None: never.
        """
        mine = _turn.get()
        if mine is not None and not mine.used and mine.chat_id == chat_id:
            mine.used = True
            yield
            return
        request = await self._let(chat_id, patience)
        token = _turn.set(request)
        try:
            yield
        finally:
            _turn.reset(token)
            # Telegram counts when the request reaches it, which is before its answer is here.
            request.at = _now()

    def take_spare(self, chat_id: ChatId | None) -> bool:
        """Let one go at once that need not; False: what matters more may soon need the room."""
        now, limits = _now(), self._limits_of(chat_id)
        line = self._line(chat_id)
        if not (line.is_half_free(limits, now) and self._all.is_half_free([self._limits.all], now)):
            return False
        self._go(line, _Request(now, chat_id), limits)
        return True

    async def _let(self, chat_id: ChatId | None, patience: float | None) -> _Request:
        line, limits = self._line(chat_id), self._limits_of(chat_id)
        came = _now()
        _check(line, patience)
        if line.waiting or line.opens_at(limits) - _now() > BRIEF:
            step_aside()
        async with line.turn():
            while (pause := line.opens_at(self._limits_of(chat_id)) - _now()) > 0:
                _check(line, patience)
                await asyncio.sleep(pause)
            async with self._all.turn():
                while (  # noqa: ASYNC110 - it waits for time to pass, not for an event
                    pause := self._all.opens_at([self._limits.all]) - _now()
                ) > 0:
                    await asyncio.sleep(pause)
                request = _Request(_now(), chat_id)
                self._go(line, request, limits)
                self._waited(request.at - came)
                return request

    def _go(self, line: _Line, request: _Request, limits: Sequence[Limit]) -> None:
        line.let(request, limits)
        # Of all together the moments are not mended: a hundred slow answers are no reason to wait.
        self._all.let(_Request(request.at, request.chat_id), [self._limits.all])

    def _limits_of(self, chat_id: ChatId | None) -> list[Limit]:
        if chat_id is None:
            return []
        in_chat = self._limits.strict if self._strict_until > _now() else self._limits.burst
        alone = isinstance(chat_id, int) and chat_id > 0
        return [in_chat] if alone else [in_chat, self._limits.group]

    def _line(self, chat_id: ChatId | None) -> _Line:
        now = _now()
        if now - self._swept > _SWEEP:
            self._swept = now
            self._lines = {key: line for key, line in self._lines.items() if line.is_needed(now)}
        return self._lines.setdefault(chat_id, _Line())


def _check(line: _Line, patience: float | None) -> None:
    left = line.closed_until - _now()
    if patience is not None and left > patience:
        raise LineClosed(left)


def _now() -> float:
    return asyncio.get_running_loop().time()
