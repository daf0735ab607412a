"""That the store was restored from a backup: what it does not know may have been said meanwhile."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, func, insert, literal, select, text, update

from bot.feedback.sessions import Sessions
from bot.feedback.states import UNFINISHED
from bot.feedback.tables import Job, Restore, Table, now

# Further than any store comes between two backups. Old messages' buttons and the pseudonyms of exports go by
# numbers: what was made after the backup must not share its number with what is made after the restore.
_GAP = 10_000_000


class Restores:
    """Written once a restore, before a bot starts."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def asked_until(self) -> datetime | None:
        """What was asked until then, and is not known here, may have been answered; None: never restored."""
        async with self._sessions.reading() as session:
            return await session.scalar(select(func.max(Restore.asked_until)))

    async def begin(self, asked_until: datetime) -> int:
        """The store was restored: of its open jobs, and of others asked until then, nobody knows whether they
        are answered. Numbers go on far behind those that may be given. Returns how many jobs are open.
        """
        async with self._sessions.transaction() as session:
            await session.execute(insert(Restore).values(restored_at=now(), asked_until=asked_until))
            open_jobs = (
                update(Job).where(Job.state.in_(UNFINISHED)).values(sending_at=now()).returning(Job.id)
            )
            doubted = len((await session.scalars(open_jobs)).all())
            if session.get_bind().dialect.name == "sqlite":
                await session.execute(text("UPDATE sqlite_sequence SET seq = seq + :gap"), {"gap": _GAP})
                return doubted
            for table in Table.metadata.sorted_tables:
                if "id" in table.columns:
                    sequence = func.pg_get_serial_sequence(table.name, "id")
                    following = func.nextval(sequence) + literal(_GAP, BigInteger)
                    await session.execute(select(func.setval(sequence, following)))
            return doubted
