"""What models said about pictures, which is also the cache of what need not be said anew."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, or_, select, update

from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.jobs import JOB, options_key
from bot.feedback.pictures import PICTURE, PictureFields, Pictures
from bot.feedback.prepared import Asked
from bot.feedback.sessions import Sessions, made
from bot.feedback.tables import CaptionRow, Job, Picture, now
from inference.common.types import Caption, Version

# Made once, since every picture needs it.
_JOBS, _PICTURES, _CAPTIONS = Job.columns(), Picture.columns(), CaptionRow.columns()
_CACHED = (
    select(_CAPTIONS)
    .join(_PICTURES, _PICTURES.c.id == _CAPTIONS.c.picture_id)
    .where(
        _PICTURES.c.file_unique_id == bindparam("file_unique_id"),
        *(_CAPTIONS.c[name] == bindparam(name) for name in ("model", "checkpoint", "program", "options_key")),
        or_(_CAPTIONS.c.asker_id.is_(None), _CAPTIONS.c.asker_id == bindparam("user_id")),
    )
    .order_by(_CAPTIONS.c.id.desc())
    .limit(1)
)
_ANSWERS = (
    update(_JOBS)
    .where(_JOBS.c.id == bindparam("job"))
    .values(caption_id=bindparam("caption"), updated_at=bindparam("moment"))
)
_CAPTION = select(_CAPTIONS).where(_CAPTIONS.c.id == bindparam("caption"))
_INSERT = insert(_CAPTIONS).returning(_CAPTIONS)


class Captions:
    """Captions are never changed once written: marks and corrections are about the very text."""

    def __init__(self, sessions: Sessions, pictures: Pictures) -> None:
        self._sessions = sessions
        self._pictures = pictures

    async def get(self, caption_id: int) -> CaptionRow | None:
        """The caption of this number; None: erased."""
        return made(CaptionRow, await self._sessions.read(_CAPTION, {"caption": caption_id}))

    async def cached(
        self, file_unique_id: str, model: str, version: Version, options_key: str, *, user_id: int
    ) -> CaptionRow | None:
        """The newest caption of this picture by this model and version with these options (see
        bot.feedback.jobs.options_key), if it may be told to this person.

        Give it to the job with :meth:`use`.
        """
        row = await self._sessions.read(
            _CACHED,
            {
                "file_unique_id": file_unique_id,
                "model": model,
                "checkpoint": version.checkpoint,
                "program": version.program,
                "options_key": options_key,
                "user_id": user_id,
            },
        )
        return made(CaptionRow, row)

    async def save(
        self, job_id: int, *, picture: PictureFields, caption: Caption, asked: bool = False
    ) -> CaptionRow:
        """Keep what the model said for this job, and the picture's bytes if its sender has consented.

        ``asked``: the job's question was asked, too; see Job.decoding_options.

        Raises NotStored when the person was erased in the meantime: nothing is kept then.
        """
        async with self._pictures.keeping(picture.data) as keep:

            def work(connection: Asked) -> CaptionRow:
                database.lock_pictures(connection)
                job = connection.execute(JOB, {"job_id": job_id}).one_or_none()
                if job is None:
                    raise NotStored("This job was erased.")
                added = self._pictures.add(connection, picture)
                keep(connection, job, added)
                return _add(connection, made(Job, job), added.id, caption, asked=asked)

            return await self._sessions.transact(work)

    async def use(self, job_id: int, caption_id: int, *, data: bytes | None = None) -> None:
        """Answer this job with a caption made before. Raises NotStored when either was erased.

        ``data``: the picture's bytes, if they are at hand; kept under the same conditions as a new picture's.
        """
        async with self._pictures.keeping(data) as keep:

            def work(connection: Asked) -> None:
                database.lock_pictures(connection)
                job = connection.execute(JOB, {"job_id": job_id}).one_or_none()
                row = connection.execute(_CAPTION, {"caption": caption_id}).one_or_none()
                if job is None or row is None:
                    raise NotStored("This job or caption was erased.")
                keep(connection, job, connection.execute(PICTURE, {"picture": row.picture_id}).one())
                connection.execute(_ANSWERS, {"job": job_id, "caption": caption_id, "moment": now()})

            await self._sessions.transact(work)


def _add(connection: Asked, job: Job, picture_id: int, caption: Caption, *, asked: bool) -> CaptionRow:
    moment = now()
    values = {
        "picture_id": picture_id,
        "model": caption.model,
        "checkpoint": caption.checkpoint,
        "program": caption.program,
        "options": caption.options.to_dict(),
        "options_key": options_key(job.decoding_options(asked=asked)),
        "asker_id": job.user_id if asked else None,
        "summary": caption.summary,
        "text": caption.text,
        "words": list(caption.words),
        "seconds": dict(caption.seconds),
        "confidence": caption.confidence,
        "notes": list(caption.notes),
        "created_at": moment,
    }
    row = made(CaptionRow, connection.execute(_INSERT, values).one())
    connection.execute(_ANSWERS, {"job": job.id, "caption": row.id, "moment": moment})
    return row
