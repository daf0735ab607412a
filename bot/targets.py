"""Which picture a message means, or why it has none that can be described."""

from __future__ import annotations

from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import PurePath

from aiogram.enums import ChatType, MessageEntityType
from aiogram.types import Document, ExternalReplyInfo, Message, User

from bot.texts import sentences
from inference.pictures import OTHER_SUFFIXES, PICTURE_SUFFIXES

# What is clearly no picture is told so without being fetched; all else is the engine's to judge.
_VAGUE_TYPES = frozenset({"application/octet-stream", "binary/octet-stream"})
_KNOWN_SUFFIXES = frozenset(MimeTypes().types_map[True])  # Python's own list, not this machine's


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that can be fetched by ``file_id``."""

    file_id: str
    file_unique_id: str
    size: int | None  # bytes; Telegram does not always tell


@dataclass(frozen=True, slots=True)
class Refused:
    """There is something, but not a picture: ``sentence`` (of bot.texts.sentences) says what to do."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Target:
    """A picture and the message that the description answers."""

    picture: Found
    message_id: int


def find(message: Message | ExternalReplyInfo) -> Found | Refused | None:  # noqa: PLR0911 - a table
    """What the message carries; None when it carries nothing of that kind (text, a service message)."""
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return Found(largest.file_id, largest.file_unique_id, largest.file_size)
    if message.sticker:
        sticker = message.sticker
        if sticker.is_animated or sticker.is_video:
            return Refused(sentences.NOT_A_STATIC_STICKER)
        return Found(sticker.file_id, sticker.file_unique_id, sticker.file_size)
    if message.animation:  # before the document: Telegram gives animations as both
        return Refused(sentences.NOT_AN_ANIMATION)
    if message.document:
        return _document(message.document)
    if message.video or message.video_note or message.story:
        return Refused(sentences.NOT_A_VIDEO)
    if message.voice or message.audio:
        return Refused(sentences.NOT_A_VOICE)
    others = ("live_photo", "paid_media", "contact", "dice", "game", "poll", "venue", "location", "checklist")
    if any(getattr(message, kind, None) for kind in others):
        return Refused(sentences.SEND_A_PICTURE)
    return None


def _document(document: Document) -> Found | Refused:
    kind = (document.mime_type or "").lower()
    suffix = PurePath(document.file_name or "").suffix.lower()
    if kind.startswith("video/"):
        return Refused(sentences.NOT_A_VIDEO)
    if kind.startswith("audio/"):
        return Refused(sentences.NOT_A_VOICE)
    if suffix in OTHER_SUFFIXES and not kind.startswith("image/"):
        return Refused(sentences.UNSUPPORTED)
    # A name may have a dot that begins no suffix: "Meme of 12.05".
    unknown = (not kind or kind in _VAGUE_TYPES) and suffix not in _KNOWN_SUFFIXES
    if kind.startswith("image/") or suffix in PICTURE_SUFFIXES or unknown:
        return Found(document.file_id, document.file_unique_id, document.file_size)
    return Refused(sentences.NOT_AN_IMAGE_FILE)


def find_target(message: Message) -> Target | Refused:
    """The picture in the message itself, else in the one it answers (here or quoted from another chat)."""
    own = find(message)
    if isinstance(own, Found):
        return Target(own, message.message_id)
    answered = message.reply_to_message
    there = find(answered) if answered is not None else None
    if isinstance(there, Found) and answered is not None:
        return Target(there, answered.message_id)
    quoted = find(message.external_reply) if message.external_reply is not None else None
    if isinstance(quoted, Found):
        return Target(quoted, message.message_id)
    return next(
        (refusal for refusal in (own, there, quoted) if isinstance(refusal, Refused)),
        Refused(sentences.ANSWER_A_PICTURE),
    )


def is_private(message: Message) -> bool:
    """Whether the message stands in a chat between one person and the bot."""
    return message.chat.type == ChatType.PRIVATE


def is_addressed(message: Message, me: User) -> bool:
    """Whether a message in a group mentions the bot, or sends a picture in reply to one of its messages."""
    text = message.text or message.caption or ""
    for entity in message.entities or message.caption_entities or ():
        if entity.type == MessageEntityType.MENTION:
            if entity.extract_from(text).casefold() == f"@{me.username}".casefold():
                return True
        elif entity.type == MessageEntityType.TEXT_MENTION and entity.user and entity.user.id == me.id:
            return True
    answered = message.reply_to_message
    answers_me = answered is not None and answered.from_user is not None and answered.from_user.id == me.id
    return answers_me and find(message) is not None
