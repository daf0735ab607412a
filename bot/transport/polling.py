"""Long polling that confirms an update only when it has been taken over.

aiogram's own loop confirms updates while their handlers still run, gives up when the server cannot be
reached at the start, ignores ``retry_after`` and leaves handlers in flight when it stops. Here a batch is
confirmed after its handlers are done (for a picture: after its job row is written). What takes long, or waits
for a limit of Telegram's, is itself written down before it is confirmed, and while that cannot be, nothing is
confirmed. So a killed process loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramConflictError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetUpdates
from aiogram.types import Update, User

from bot.config import OperatorError
from bot.feedback.database import StoreError
from bot.feedback.waiting import once_stored
from bot.transport.intake import Intake, read_update
from bot.transport.wire import update_number
from bot.transport.written import WrittenUpdates
from inference.common.interpreter import PYTHON

logger = logging.getLogger(__name__)

CONFIRM_AFTER = 5.0  # seconds: how long a slow handler may keep its batch from being confirmed
CANNOT_REACH = (
    "Cannot get updates (%s). Trying again until it works; check the network, BOT_API_URL and the server."
)
CONFLICT = (
    "Telegram refuses long polling (%s). Stop the other process that uses this token; if a webhook is set, "
    f"remove it with `{PYTHON} -m bot run --delete-webhook`. Trying again until it works."
)


class TokenRefused(OperatorError):  # noqa: N818 - says what happened
    """The server does not know this token: trying again cannot help."""

    def __init__(self) -> None:
        super().__init__(
            "The Bot API server refuses the token. Copy it again from @BotFather into BOT_TOKEN, "
            "and check BOT_API_URL if you set it."
        )


class _Poll(GetUpdates):
    """The updates as they came. To read a hundred in one turn of the loop would hold everybody up."""

    __returning__ = list[Any]


def _numbered(rows: Sequence[Any]) -> dict[int, Any]:
    """The updates by number. Raises ClientDecodeError where not one of them has one."""
    numbered = {number: row for row in rows if (number := update_number(row)) is not None}
    if len(numbered) < len(rows):
        # What has no number cannot be confirmed by itself, but goes with those behind it.
        logger.error("What is no update is left out: it has no update_id")
    if rows and not numbered:
        raise ClientDecodeError("no update among them", ValueError("no update_id"), rows)
    return numbered


class Poller:
    """Feeds updates to ``intake`` until it is cancelled.

    ``longest_pause``: seconds between tries while the server cannot be reached.
    """

    def __init__(
        self,
        bot: Bot,
        intake: Intake,
        written: WrittenUpdates,
        *,
        allowed_updates: Sequence[str],
        timeout: int = 30,
        longest_pause: float = 15.0,
    ) -> None:
        self._bot = bot
        self._intake = intake
        self._written = written
        self._taken_over: set[int] = set()
        self._allowed_updates = list(allowed_updates)
        self._timeout = timeout
        self._longest_pause = longest_pause
        self._offset: int | None = None
        self._trouble: str | None = None
        self._heard = -math.inf
        # When an answer at once said that a conflict was over. Another process that goes on lets such a one
        # through between two polls of its own: if it comes back, a whole poll must meet nobody.
        self._alone_at = -math.inf
        self._misled = False

    @property
    def healthy(self) -> bool:
        """Whether the server answered lately and nothing is wrong at the moment."""
        return self._trouble is None and time.monotonic() - self._heard < 2 * self._timeout + 30

    @property
    def trouble(self) -> str | None:
        """What keeps updates from coming, or None."""
        return self._trouble

    async def connect(self) -> User:
        """Who we are; waits until the server answers. Raises :class:`TokenRefused`."""
        pause = 0.5
        while True:
            try:
                me = await self._bot.me()
            except (TelegramUnauthorizedError, TelegramNotFound):
                raise TokenRefused from None
            except (TelegramAPIError, ClientDecodeError) as error:
                pause = await self._back_off(error, pause)
            else:
                self._recovered()
                return me

    async def run(self) -> None:
        """Poll for ever. Raises :class:`TokenRefused` when the token is withdrawn."""
        self._taken_over = await once_stored(self._written.take_over)
        pause = 0.5
        while True:
            try:
                # Where the last try failed, one that is answered at once tells whether that is over: in quiet
                # hours a long poll tells it late.
                whole = self._trouble is None or (self._trouble == CONFLICT and self._misled)
                timeout = self._timeout if whole else 0
                poll = _Poll(offset=self._offset, timeout=timeout, allowed_updates=self._allowed_updates)
                answer = await self._bot(poll, request_timeout=timeout + 15)
                rows = _numbered(answer)
            except TelegramUnauthorizedError:
                raise TokenRefused from None
            except (TelegramAPIError, ClientDecodeError) as error:
                pause = await self._back_off(error, pause)
                continue
            pause = 0.5
            if whole:
                self._misled = False
            elif self._trouble == CONFLICT:
                self._alone_at = time.monotonic()
            self._recovered()
            await self._take(rows)

    async def confirm(self) -> None:
        """Tell the server what was handled, so that it is not sent again to the next process."""
        if self._offset is not None:
            try:
                await self._bot(_Poll(offset=self._offset, timeout=0, limit=1), request_timeout=3)
            except (TelegramAPIError, ClientDecodeError) as error:
                logger.debug("Could not confirm the last updates: %s", error)

    async def _take(self, rows: Mapping[int, Any]) -> None:
        if not rows:
            return
        started = []
        for number, row in rows.items():
            if number not in self._taken_over:
                # Where it cannot be read, an empty one: it must not hold back the others for ever.
                update = read_update(row, self._bot) or Update(update_id=number)
                started.append((update, await self._intake.start(update)))
        # Sent with the next request, which waits until these are done or written down.
        self._offset = max(rows) + 1
        if started:
            await asyncio.wait([one.settled for _, one in started], timeout=CONFIRM_AFTER)
            for update, one in started:
                await self._keep(update, one.task)

    async def _keep(self, update: Update, task: asyncio.Task[None]) -> None:
        """Write down what ``task`` still works on; waits while that cannot be."""
        while not task.done():
            try:
                await self._written.keep(update, task)
            except StoreError as error:
                logger.error("Update %d is not confirmed: %s", update.update_id, error)
                await asyncio.wait([task], timeout=CONFIRM_AFTER)
            else:
                return

    async def _back_off(self, error: TelegramAPIError | ClientDecodeError, pause: float) -> float:
        if isinstance(error, TelegramRetryAfter):
            # A wait the server asked for is no trouble; without a cap a wrong number could stop us for days.
            await asyncio.sleep(min(error.retry_after, 300))
            return pause
        sentence = CANNOT_REACH
        if isinstance(error, TelegramConflictError):
            sentence = CONFLICT
            self._misled |= time.monotonic() - self._alone_at < 2 * self._timeout
        if self._trouble != sentence:
            # ClientDecodeError's text holds the whole page it could not read.
            what = "the answer is not JSON" if isinstance(error, ClientDecodeError) else error.message
            logger.error(sentence, what)
            self._trouble = sentence
        await asyncio.sleep(pause)
        return min(pause * 2, self._longest_pause)

    def _recovered(self) -> None:
        if self._trouble is not None:
            logger.warning("Updates come again.")
        self._trouble = None
        self._heard = time.monotonic()
