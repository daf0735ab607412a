"""The work on jobs waits for a database that is away; people hear that it takes longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from bot.captioning.notices import TroubleNotice
from bot.feedback.tables import Job
from bot.feedback.waiting import once_stored

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Patience:
    """``notice``: what people are told."""

    def __init__(self, notice: TroubleNotice) -> None:
        self._notice = notice

    async def insist(
        self,
        job: Job,
        ask: Callable[_Arguments, Awaitable[_Result]],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        """What a method of the store returns, as soon as the store can be used."""
        tell = partial(self._notice.tell, job.place, language=job.language, reply_to=job.message_id)
        return await once_stored(partial(ask, *args, **kwargs), tell)
