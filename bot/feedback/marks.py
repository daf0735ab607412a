"""What people say about captions: marks and corrections."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback.database import NotStored
from bot.feedback.sessions import Sessions
from bot.feedback.tables import Correction, Rating, User, now

# Made once: to make a statement costs as much as to run it. Whoever writes what a person says holds that
# person's row, so that what one says is written one after the other, and not while they are erased.
_WHO = select(User.id).where(User.id == bindparam("user_id")).with_for_update(key_share=True)
_MARK = select(Rating.mark).where(
    Rating.user_id == bindparam("user_id"), Rating.caption_id == bindparam("caption_id")
)


class Marks:
    """One mark a person and caption, which can be changed; of corrections the newest counts."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        insert = sessions.insert(Rating)
        self._rate = insert.on_conflict_do_update(
            index_elements=("user_id", "caption_id"),
            set_={"mark": insert.excluded.mark, "updated_at": insert.excluded.updated_at},
        )

    async def rate(self, user_id: int, caption_id: int, mark: int) -> int | None:
        """Set the person's mark, 1..5, of a caption; returns the mark before, None if there was none.

        Raises ValueError on another mark, NotStored when the caption or the person was erased.
        """
        if mark not in range(1, 6):
            raise ValueError(f"A mark is 1, 2, 3, 4 or 5, not {mark}.")
        said, moment = {"user_id": user_id, "caption_id": caption_id}, now()
        async with self._sessions.transaction() as session:
            await _hold(session, user_id)
            before = await session.scalar(_MARK, said)
            await session.execute(
                self._rate, {**said, "mark": mark, "created_at": moment, "updated_at": moment}
            )
            return before

    async def rating(self, user_id: int, caption_id: int) -> int | None:
        """The person's mark of a caption, 1..5; None: not rated."""
        async with self._sessions.reading() as session:
            return await session.scalar(_MARK, {"user_id": user_id, "caption_id": caption_id})

    async def mean_rating(self, caption_id: int) -> tuple[float | None, int]:
        """The mean mark of a caption, 1..5 (None: nobody rated), and how many people rated."""
        async with self._sessions.reading() as session:
            mean, people = (
                await session.execute(
                    select(func.avg(Rating.mark), func.count()).where(Rating.caption_id == caption_id)
                )
            ).one()
            return None if mean is None else float(mean), people

    async def correct(self, user_id: int, caption_id: int, text: str) -> None:
        """A better description; the newest counts, the older ones stay as history. Raises NotStored."""
        async with self._sessions.transaction() as session:
            await _hold(session, user_id)
            session.add(Correction(user_id=user_id, caption_id=caption_id, text=text, created_at=now()))

    async def correction(self, user_id: int, caption_id: int) -> str | None:
        """The person's newest correction of a caption."""
        async with self._sessions.reading() as session:
            return await session.scalar(
                select(Correction.text)
                .where(Correction.user_id == user_id, Correction.caption_id == caption_id)
                .order_by(Correction.id.desc())
                .limit(1)
            )


async def _hold(session: AsyncSession, user_id: int) -> None:
    if await session.scalar(_WHO, {"user_id": user_id}) is None:
        raise NotStored("This person was erased.")
