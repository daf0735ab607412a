"""What people asked about pictures, and what models answered."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ScalarSelect, func, select

from bot.feedback.database import NotStored
from bot.feedback.sessions import Sessions
from bot.feedback.states import JobState
from bot.feedback.tables import CaptionRow, Job, TurnRow, now
from inference.common.types import Answer


def _same_picture(caption_id: int) -> ScalarSelect[int]:
    """The numbers of all captions of the picture that this one is about."""
    picture = select(CaptionRow.picture_id).where(CaptionRow.id == caption_id).scalar_subquery()
    return select(CaptionRow.id).where(CaptionRow.picture_id == picture).scalar_subquery()


class Turns:
    """A question is a job of that kind until it is answered, and then a turn besides."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def of_job(self, job_id: int) -> TurnRow | None:
        """The answer to the question of this job; None: there is none yet, or it was erased."""
        async with self._sessions.reading() as session:
            return await session.scalar(select(TurnRow).where(TurnRow.job_id == job_id))

    async def about(self, user_id: int, caption_id: int) -> Sequence[TurnRow]:
        """What this person asked about the picture of this caption and was answered, in order."""
        async with self._sessions.reading() as session:
            found = await session.scalars(
                select(TurnRow)
                .where(TurnRow.user_id == user_id, TurnRow.caption_id.in_(_same_picture(caption_id)))
                .order_by(TurnRow.id)
            )
            return found.all()

    async def asked(self, user_id: int, caption_id: int) -> int:
        """How many questions about the picture of this caption this person has asked; those that failed do
        not count.
        """
        async with self._sessions.reading() as session:
            asked = select(func.count()).where(
                Job.user_id == user_id,
                Job.kind == "question",
                Job.state != JobState.FAILED,
                Job.about_caption_id.in_(_same_picture(caption_id)),
            )
            return await session.scalar(asked) or 0

    async def save(self, job_id: int, answer: Answer) -> TurnRow:
        """Keep what the model answered to the question of this job. Raises NotStored when the person or the
        description was erased in the meantime: nothing is kept then.
        """
        async with self._sessions.transaction() as session:
            job = await session.get(Job, job_id)
            if job is None or job.about_caption_id is None:
                raise NotStored("This question was erased.")
            row = TurnRow(
                user_id=job.user_id,
                caption_id=job.about_caption_id,
                job_id=job.id,
                question=job.question or "",
                answer=answer.text,
                model=answer.model,
                checkpoint=answer.checkpoint,
                program=answer.program,
                notes=list(answer.notes),
                created_at=now(),
            )
            session.add(row)
        return row
