"""Who was erased and which kept pictures had to go: what an earlier export must be cleaned of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback.sessions import Sessions
from bot.feedback.tables import Tombstone, TombstoneKind, now


class Tombstones:
    """Everybody and every kept picture erased so far, by pseudonym."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def bury(self, session: AsyncSession, kind: TombstoneKind, pseudonyms: Collection[str]) -> None:
        """Say in every later export that what stands under these pseudonyms in an earlier one must go."""
        insert = self._sessions.insert(Tombstone)
        upsert = insert.on_conflict_do_update(
            index_elements=[Tombstone.kind, Tombstone.pseudonym],
            set_={"erased_at": insert.excluded.erased_at},
        )
        moment = now()
        if rows := [{"kind": kind, "pseudonym": one, "erased_at": moment} for one in pseudonyms]:
            await session.execute(upsert, rows)

    async def all(self) -> Sequence[Tombstone]:
        """All of them, the oldest first."""
        async with self._sessions.reading() as session:
            order = (Tombstone.erased_at, Tombstone.kind, Tombstone.pseudonym)
            return (await session.scalars(select(Tombstone).order_by(*order))).all()
