"""What happened on each day, as the database's triggers tell it: sums of rows that are added (see Tally)."""

from __future__ import annotations

from collections import Counter
from datetime import date

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback.sessions import Sessions
from bot.feedback.tables import Tally, TallyKind

_PORTION = 20_000  # rows that are put together in one transaction
_WHAT = (Tally.day, Tally.kind, Tally.detail)


class Tallies:
    """Reads them, and puts them together, so that there are never many."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def since(self, day: date, *kinds: TallyKind) -> dict[tuple[str, TallyKind, str], int]:
        """How often what of these kinds happened on each day (as 2026-01-31) from this one on."""
        wanted = (Tally.day >= day.isoformat(), Tally.kind.in_(kinds))
        statement = select(*_WHAT, func.sum(Tally.number)).where(*wanted).group_by(*_WHAT)
        async with self._sessions.reading() as session:
            rows = await session.execute(statement)
            return {(at, kind, detail): number for at, kind, detail, number in rows if number}

    async def totals(self, session: AsyncSession, *kinds: TallyKind) -> dict[str, int]:
        """How often what of these kinds happened at all; nothing of what never did."""
        statement = select(Tally.kind, func.sum(Tally.number)).where(Tally.kind.in_(kinds))
        rows = await session.execute(statement.group_by(Tally.kind))
        return {kind: number for kind, number in rows if number}

    async def fold(self) -> None:
        """Put the rows of each day together, bit by bit. Processes may do it at the same time."""
        async with self._sessions.reading() as session:
            last = await session.scalar(select(func.max(Tally.id)))
        while last is not None and await self._fold_portion(last):
            pass

    async def _fold_portion(self, last: int) -> bool:
        """Whether rows up to this one may be left."""
        first = select(Tally.id).where(Tally.id <= last).order_by(*_WHAT).limit(_PORTION)
        # Deleted and read in one: a row that is added meanwhile is neither.
        gone = delete(Tally).where(Tally.id.in_(first)).returning(*_WHAT, Tally.number)
        sums = Counter[tuple[str, TallyKind, str]]()
        async with self._sessions.transaction() as session:
            rows = (await session.execute(gone)).all()
            for day, kind, detail, number in rows:
                sums[day, kind, detail] += number
            together = [
                {"day": day, "kind": kind, "detail": detail, "number": number}
                for (day, kind, detail), number in sums.items()
                if number
            ]
            if together:
                await session.execute(insert(Tally.columns()), together)
        return len(rows) == _PORTION
