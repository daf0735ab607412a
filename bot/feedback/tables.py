"""The tables, valid for SQLite and PostgreSQL alike.

Rows are handed out detached from their session: they are read as plain data and never written through.
Deletion is left to the foreign keys (``ON DELETE``), so that no code path can forget a table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args, overload

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
    true,
)
from sqlalchemy import Table as SQLTable
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bot.feedback.states import JobState
from inference.common.types import Caption, DecodingOptions, Detail, Language

JobKind = Literal["caption", "variant", "question"]
TombstoneKind = Literal["user", "picture"]
TallyKind = Literal["mark", "answered", "failed"]
ShownKind = Literal[
    "caption", "text", "note", "prompt", "greeting", "privacy", "models", "language", "settings"
]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model is to describe a picture; two or three of these where the captions are compared."""

    model: str = ""  # "": the default of the day, for jobs from before there was a choice
    part: int = 0  # 1, 2 or 3: which of several captions; 0: there is only one
    compared_with: tuple[str, ...] | None = None  # the models of the other parts


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said in Telegram: all that a send must carry to end up there."""

    chat_id: int
    thread_id: int | None = None  # of the topic in a forum, or in a private chat that has topics
    business_connection_id: str | None = None  # on whose behalf
    direct_messages_topic_id: int | None = None  # whose direct messages to a channel


@dataclass(frozen=True, slots=True)
class Shown:
    """What a message of the bot shows, as far as a press on it or an answer to it is concerned."""

    # "text": about the caption's picture, without buttons (what a long description begins with, an answer to
    # a question); "note": that a reply was interrupted; "prompt": asks for a correction; else a page.
    kind: ShownKind
    caption_id: int | None = None
    job_id: int | None = None  # whose introduction the caption has
    user_id: int | None = None  # whose message it is; None: everybody's in the chat


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


@overload
def iso(moment: datetime) -> str: ...
@overload
def iso(moment: datetime | None) -> str | None: ...
def iso(moment: datetime | None) -> str | None:
    """A moment as files tell it: UTC, ISO 8601, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment: timezone-aware in Python, UTC in the database (SQLite has no time zones of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment needs a time zone to be stored.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ModelNames(TypeDecorator[tuple[str, ...]]):
    """Names of models, one a line: none of them holds a line break (inference.checkpoints.names)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else "\n".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        return None if value is None else tuple(value.split("\n")) if value else ()


_LOST_ANSWERS = text("lost_answers > 0")  # of few jobs, which are to be counted

# SQLite gives numbers by itself only to a column of exactly the type INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")


class Table(DeclarativeBase):
    @classmethod
    def columns(cls) -> SQLTable:
        """The table itself: statements about it pass the mapper by, which costs more than they do."""
        return cls.metadata.tables[cls.__tablename__]

    metadata = MetaData(
        naming_convention={  # named, so that a later migration can drop them on every database
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Table):
    """A person who wrote to the bot; or a chat in whose name somebody did (see bot.messages.senders)."""

    __tablename__ = "users"
    # AUTOINCREMENT: the number of an erased person is never given to another one.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    telegram_id: Mapped[int] = mapped_column(BigInteger, unique=True)  # negative: a chat's
    username: Mapped[str | None] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(16))
    language_chosen: Mapped[bool] = mapped_column(Boolean)  # by set_language: Telegram's no longer counts
    consent: Mapped[bool] = mapped_column(Boolean)  # may the bytes of this person's pictures be kept?
    active: Mapped[bool] = mapped_column(Boolean)  # False: has blocked the bot
    model: Mapped[str | None] = mapped_column(String(128))  # chosen by the person; None: the operator's
    # Compare: None = no, () = with the model that the operator chose, else with those of these names.
    compare_with: Mapped[tuple[str, ...] | None] = mapped_column(ModelNames)
    # How descriptions are told to this person: see DecodingOptions.
    detail: Mapped[Detail] = mapped_column(String(16), server_default=text("'usual'"))
    quoting: Mapped[bool] = mapped_column(Boolean, server_default=true())
    told_in: Mapped[Language] = mapped_column(String(8), server_default=text("'ru'"))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    def telling(self) -> DecodingOptions | None:
        """What this person asks of every description; None: nothing but the usual."""
        return DecodingOptions.telling(detail=self.detail, quoting=self.quoting, language=self.told_in)


class Picture(Table):
    """A picture as Telegram knows it; its bytes are on disk only while somebody consents to that."""

    __tablename__ = "pictures"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    file_unique_id: Mapped[str] = mapped_column(String(64), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    width: Mapped[int] = mapped_column(Integer)  # pixels, upright
    height: Mapped[int] = mapped_column(Integer)
    path: Mapped[str | None] = mapped_column(
        String(128), index=True
    )  # of the kept bytes, relative to the data folder
    kept_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True)  # since when; None: not kept
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Sending(Table):
    """Who sent a picture, whose it is: they decide whether it is kept, and their erasure takes it away.

    A sender need not have met the bot: somebody else may have asked about the picture. So only a pseudonym is
    kept of them (see Pseudonyms.sender), "" for channels, anonymous administrators and bots. It outlives the
    jobs: when whoever asked is erased, the picture is still its sender's.
    """

    __tablename__ = "sendings"

    picture_id: Mapped[int] = mapped_column(
        ForeignKey("pictures.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sender: Mapped[str] = mapped_column(String(16), primary_key=True, index=True)
    keeps: Mapped[bool] = mapped_column(Boolean)  # the sender lets the bytes be kept


class CaptionRow(Table):
    """What a model said about a picture. Never changed once written: ratings are about this very text."""

    __tablename__ = "captions"
    __table_args__ = (
        Index("ix_captions_cache", "picture_id", "model", "checkpoint", "options_key"),
        {"sqlite_autoincrement": True},  # old messages' buttons carry the number of an erased caption
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    picture_id: Mapped[int] = mapped_column(ForeignKey("pictures.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(128))
    checkpoint: Mapped[str] = mapped_column(String(64))
    program: Mapped[str] = mapped_column(String(16), server_default=text("''"))  # that wrote it
    options: Mapped[dict[str, Any]] = mapped_column(JSON)  # those the captioner used
    options_key: Mapped[str] = mapped_column(String(64))  # of those that were asked for
    # Whose question the options hold: nobody else is told it, and the erasure of this person takes it away.
    # No foreign key: SQLite adds one by copying the table, which would erase the marks.
    asker_id: Mapped[int | None] = mapped_column(_Id, index=True)
    summary: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    words: Mapped[list[str]] = mapped_column(JSON)
    seconds: Mapped[dict[str, float]] = mapped_column(JSON)
    confidence: Mapped[float] = mapped_column(Float)
    notes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    def to_caption(self) -> Caption:
        """The caption as the engine gave it."""
        return Caption(
            summary=self.summary,
            text=self.text,
            words=tuple(self.words),
            model=self.model,
            checkpoint=self.checkpoint,
            program=self.program,
            options=DecodingOptions.from_dict(self.options),
            seconds=dict(self.seconds),
            confidence=self.confidence,
            notes=tuple(self.notes),
        )


class Rating(Table):
    """One mark a person and caption; changeable."""

    __tablename__ = "ratings"
    __table_args__ = (CheckConstraint("mark BETWEEN 1 AND 5", name="mark"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    caption_id: Mapped[int] = mapped_column(
        ForeignKey("captions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    mark: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)


class TurnRow(Table):
    """A question of a person about a picture, and what a model answered."""

    __tablename__ = "turns"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # The description under which it was asked.
    caption_id: Mapped[int] = mapped_column(ForeignKey("captions.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    question: Mapped[str] = mapped_column(Text)  # JOKE: asked by the button
    answer: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(String(128))
    checkpoint: Mapped[str] = mapped_column(String(64))
    program: Mapped[str] = mapped_column(String(16))
    notes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Correction(Table):
    """A better description by a person. The newest (highest id) counts; the older are history."""

    __tablename__ = "corrections"
    __table_args__ = (Index(None, "user_id", "caption_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    caption_id: Mapped[int] = mapped_column(ForeignKey("captions.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class ModelVersion(Table):
    """A checkpoint of a model that described something."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model", "checkpoint"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    model: Mapped[str] = mapped_column(String(128))
    checkpoint: Mapped[str] = mapped_column(String(64))
    captions: Mapped[int] = mapped_column(BigInteger)  # how many there are


class Total(Table):
    """How often one person said what about captions of one version.

    Triggers of the database count it, and the captions of a version, with whatever happens to a row (see the
    step 0016 of the migrations). A row a person, so that nobody who marks a caption waits for another one.
    """

    __tablename__ = "totals"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True, autoincrement=False)
    mark_1: Mapped[int] = mapped_column(Integer, server_default="0")  # times that this mark was given
    mark_2: Mapped[int] = mapped_column(Integer, server_default="0")
    mark_3: Mapped[int] = mapped_column(Integer, server_default="0")
    mark_4: Mapped[int] = mapped_column(Integer, server_default="0")
    mark_5: Mapped[int] = mapped_column(Integer, server_default="0")
    corrections: Mapped[int] = mapped_column(Integer, server_default="0")  # captions that were corrected
    variants: Mapped[int] = mapped_column(Integer, server_default="0")  # times that another was asked for


class Tally(Table):
    """That something happened so many times more on a day, or so many times less.

    Triggers of the database add a row with whatever happens to a mark or a job that has ended (see the step
    0020 of the migrations): what was on a day is the sum of its rows. They change none, so that nobody waits
    for another one, and in no order can two wait for each other. See bot.feedback.tallies.
    """

    __tablename__ = "tallies"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    day: Mapped[str] = mapped_column(String(10))  # 2026-01-31, UTC
    kind: Mapped[TallyKind] = mapped_column(String(8))
    detail: Mapped[str] = mapped_column(String(32))  # of a mark: which; of a failure: Job.failure, "": None
    number: Mapped[int] = mapped_column(Integer)


class Score(Table):
    """The marks of one caption together, by the same triggers. No row: it has none."""

    __tablename__ = "scores"
    __table_args__ = (
        # The lowest means come last, and of equal ones those of the most marks: it is read backwards.
        Index(
            None,
            *("shortfall", "marks", "caption_id", "marked_at"),
            sqlite_where=text("kept = 1"),
            postgresql_where=text("kept"),
        ),
    )

    caption_id: Mapped[int] = mapped_column(
        ForeignKey("captions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    marks: Mapped[int] = mapped_column(Integer)  # how many
    total: Mapped[int] = mapped_column(Integer)  # their sum
    shortfall: Mapped[float] = mapped_column(Float)  # how much less than 5 their mean is
    kept: Mapped[bool] = mapped_column(Boolean)  # the picture was kept when this was written
    marked_at: Mapped[datetime] = mapped_column(UTCDateTime)  # the last time


class ShownMessage(Table):
    """A message of the bot with buttons, or one to be answered: only what it shows counts (see Shown).

    It goes with the caption, or with the person whose it is. In a group a description stays everybody's when
    the person who asked for it is erased and others sent the picture too.
    """

    __tablename__ = "shown_messages"
    __table_args__ = (
        UniqueConstraint("chat_id", "message_id"),
        CheckConstraint(f"kind IN {get_args(ShownKind)}", name="kind"),
        CheckConstraint(
            "(chat_id IS NOT NULL AND message_id IS NOT NULL) <> (inline_message_id IS NOT NULL)",
            name="place",
        ),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    chat_id: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[int | None] = mapped_column(BigInteger)
    inline_message_id: Mapped[str | None] = mapped_column(String(128), unique=True)
    kind: Mapped[ShownKind] = mapped_column(String(16))
    caption_id: Mapped[int | None] = mapped_column(ForeignKey("captions.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # From before buttons were signed: data without a signature counts, for this caption only.
    unsigned: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Job(Table):
    """A picture, or a question about one, that was accepted and must be answered, once. Written before
    anything slow happens.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint(
            *("chat_id", "message_id", "kind", "options_key", "model", "part", "file_unique_id"),
            name="uq_jobs_picture",  # as the convention would have it, it is too long for PostgreSQL
        ),
        CheckConstraint(f"kind IN {get_args(JobKind)}", name="kind"),
        CheckConstraint(f"state IN {tuple(map(str, JobState))}", name="state"),
        Index(None, "chat_id", "reply_message_id"),
        Index(None, "lost_answers", sqlite_where=_LOST_ANSWERS, postgresql_where=_LOST_ANSWERS),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)  # who asked
    chat_id: Mapped[int] = mapped_column(BigInteger)
    # The rest of the place: see Place.
    message_thread_id: Mapped[int | None] = mapped_column(BigInteger)
    business_connection_id: Mapped[str | None] = mapped_column(String(128))
    direct_messages_topic_id: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[int] = mapped_column(BigInteger)  # of the message that is answered
    kind: Mapped[JobKind] = mapped_column(String(16))
    file_id: Mapped[str] = mapped_column(String(256))  # to download by
    file_unique_id: Mapped[str] = mapped_column(String(64))  # to recognise by
    options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # None: the model's own
    options_key: Mapped[str] = mapped_column(String(64))
    # The choice: see Choice.
    model: Mapped[str] = mapped_column(String(128), server_default=text("''"))
    part: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    compared_with: Mapped[tuple[str, ...] | None] = mapped_column(ModelNames)
    # What is asked about the picture; of a description: what it is to answer, if its model talks.
    question: Mapped[str | None] = mapped_column(Text)
    source_caption_id: Mapped[int | None] = mapped_column(  # which caption a variant was asked of
        ForeignKey("captions.id", ondelete="SET NULL"), index=True
    )
    about_caption_id: Mapped[int | None] = mapped_column(  # under which caption a question was asked
        ForeignKey("captions.id", ondelete="SET NULL"), index=True
    )
    language: Mapped[str] = mapped_column(String(16))  # of the reply
    state: Mapped[JobState] = mapped_column(
        Enum(JobState, native_enum=False, length=16, values_callable=list), index=True
    )
    attempts: Mapped[int] = mapped_column(Integer)  # times it was claimed
    caption_id: Mapped[int | None] = mapped_column(ForeignKey("captions.id", ondelete="SET NULL"), index=True)
    sender: Mapped[str] = mapped_column(String(16), index=True, server_default=text("''"))  # see Sending
    keeps_picture: Mapped[bool] = mapped_column(Boolean)  # the sender let it be kept when it was sent
    # Which process works on it, and when that said so, by the database's clock.
    owner: Mapped[str | None] = mapped_column(String(16))  # None: a version before there were owners
    held_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    sending_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # the reply was on its way since
    # Times that Telegram's answer to the reply was lost, so that nobody knows whether it came.
    lost_answers: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    reply_message_id: Mapped[int | None] = mapped_column(BigInteger)
    notice_message_id: Mapped[int | None] = mapped_column(BigInteger)  # that tells the place in the queue
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed
    failure: Mapped[str | None] = mapped_column(String(32))  # of which kind; None: before there were kinds
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def place(self) -> Place:
        """Where everything is sent that is said for this job."""
        return Place(
            self.chat_id,
            thread_id=self.message_thread_id,
            business_connection_id=self.business_connection_id,
            direct_messages_topic_id=self.direct_messages_topic_id,
        )

    def decoding_options(self, *, asked: bool = False) -> DecodingOptions | None:
        """The options asked for; None: the model's own defaults. ``asked``: with the question in them."""
        options = None if self.options is None else DecodingOptions.from_dict(self.options)
        if not asked:
            return options
        return replace(options or DecodingOptions("own"), question=self.question or "")


class PostedUpdate(Table):
    """An update that came by webhook: Telegram posts it again when our answer is lost."""

    __tablename__ = "posted_updates"

    update_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    body: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # None: it is done
    telegram_id: Mapped[int | None] = mapped_column(BigInteger, index=True)  # whose; None: it is done
    held_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)  # when a bot said it works on it


class Removal(Table):
    """A file of kept bytes that must go: written together with the erasure, so that no crash forgets it."""

    __tablename__ = "removals"

    path: Mapped[str] = mapped_column(String(128), primary_key=True)


class Tombstone(Table):
    """Who asked to be erased, and which kept pictures had to go, by the pseudonyms of an export.

    Whoever holds an earlier export learns from it what may no longer be used. Nobody can go back from a
    pseudonym, and those of people are never given again.
    """

    __tablename__ = "tombstones"
    __table_args__ = (CheckConstraint("kind IN ('user', 'picture')", name="kind"),)

    kind: Mapped[TombstoneKind] = mapped_column(String(8), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(16), primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Leaving(Table):
    """Whose erasure has begun, and takes several transactions: what a crash interrupts is gone on with."""

    __tablename__ = "leavings"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


class Restore(Table):
    """That the store was put back from a backup (see bot.feedback.backup)."""

    __tablename__ = "restores"

    restored_at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    # What was asked until then may have been answered, where it is not known here.
    asked_until: Mapped[datetime] = mapped_column(UTCDateTime)


class Usage(Table):
    """How many pictures of a person, a group or everybody were accepted on a day; the rest is forgotten."""

    __tablename__ = "usage"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)  # 2026-01-31, UTC
    whose: Mapped[str] = mapped_column(String(16), primary_key=True)  # a pseudonym; "": everybody's
    pictures: Mapped[int] = mapped_column(Integer)


class Muted(Table):
    """A person or a group that gets no answers."""

    __tablename__ = "muted"

    telegram_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    muted_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Secret(Table):
    """Random keys made once and never shown, such as the one behind the pseudonyms of an export."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))
