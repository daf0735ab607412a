"""What people say about captions: marks and corrections."""

from __future__ import annotations

from sqlalchemy import func, select

from bot.feedback.sessions import Sessions
from bot.feedback.tables import Correction, Rating, now


class Marks:
    """One mark a person and caption, which can be changed; of corrections the newest counts."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def rate(self, user_id: int, caption_id: int, mark: int) -> int | None:
        """Set the person's mark, 1..5, of a caption; returns the mark before, None if there was none.

        Raises ValueError on another mark, NotStored when the caption or the person was erased.
        """
        if mark not in range(1, 6):
            raise ValueError(f"A mark is 1, 2, 3, 4 or 5, not {mark}.")
        moment = now()
        insert = self._sessions.insert(Rating).values(
            user_id=user_id, caption_id=caption_id, mark=mark, created_at=moment, updated_at=moment
        )
        upsert = insert.on_conflict_do_update(
            index_elements=[Rating.user_id, Rating.caption_id],
            set_={"mark": insert.excluded.mark, "updated_at": insert.excluded.updated_at},
        )
        async with self._sessions.transaction() as session:
            before = await session.scalar(
                select(Rating.mark)
                .where(Rating.user_id == user_id, Rating.caption_id == caption_id)
                .with_for_update()
            )
            await session.execute(upsert)
            return before

    async def rating(self, user_id: int, caption_id: int) -> int | None:
        """The person's mark of a caption, 1..5; None: not rated."""
        async with self._sessions.reading() as session:
            return await session.scalar(
                select(Rating.mark).where(Rating.user_id == user_id, Rating.caption_id == caption_id)
            )

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
