"""People and groups that the operator has muted: they get nothing, but may have their data erased."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, or_, select

from bot.feedback.sessions import Sessions, changed
from bot.feedback.tables import Muted, now

_MUTED = Muted.columns()
# Made once: every update asks.
_EITHER = (
    select(_MUTED.c.telegram_id)
    .where(or_(_MUTED.c.telegram_id == bindparam("one"), _MUTED.c.telegram_id == bindparam("other")))
    .limit(1)
)


class MutedIds:
    """By Telegram's number, negative for groups. It outlives an erasure: else that would be a way round."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def add(self, telegram_id: int) -> None:
        """Mute a person or a group."""
        insert = self._sessions.insert(Muted).values(telegram_id=telegram_id, muted_at=now())
        async with self._sessions.transaction() as session:
            await session.execute(insert.on_conflict_do_nothing(index_elements=[Muted.telegram_id]))

    async def remove(self, telegram_id: int) -> bool:
        """Answer a person or a group again; False: it was not muted."""
        async with self._sessions.transaction() as session:
            return bool(await changed(session, delete(Muted).where(Muted.telegram_id == telegram_id)))

    async def has(self, one: int | None, other: int | None = None) -> bool:
        """Whether either is muted; None: nobody."""
        return await self._sessions.read(_EITHER, {"one": one, "other": other}) is not None

    async def all(self) -> Sequence[int]:
        """All of them, in the order in which they were muted."""
        async with self._sessions.reading() as session:
            order = (Muted.muted_at, Muted.telegram_id)
            return (await session.scalars(select(Muted.telegram_id).order_by(*order))).all()
