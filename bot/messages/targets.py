"""Which picture a message means, or why it has none that can be described."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import PurePath
from typing import Self

from aiogram.enums import ChatType, ContentType, MessageEntityType
from aiogram.types import (
    Document,
    ExternalReplyInfo,
    LivePhoto,
    Message,
    PaidMediaInfo,
    PaidMediaLivePhoto,
    PaidMediaPhoto,
    PaidMediaVideo,
    PhotoSize,
    RichBlockDocument,
    RichBlockPhoto,
    RichTextMention,
    RichTextTextMention,
    TelegramObject,
    User,
)

from bot.messages.senders import person_behind, person_quoted
from bot.texts import sentences
from inference.pictures.kinds import OTHER_SUFFIXES, PICTURE_SUFFIXES

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
    """The pictures of one message, the message that their descriptions answer, and who sent them (see
    bot.messages.senders)."""

    pictures: Sequence[Found]
    message_id: int
    sender: int | None
    question: str = ""  # what is asked about them under them

    @classmethod
    def of(cls, message: Message, pictures: Sequence[Found]) -> Self:
        """The pictures that the message itself carries."""
        return cls(pictures, message.message_id, person_behind(message), _question(message))


def _question(message: Message) -> str:
    """What its sender wrote under a picture for the bot alone: a forwarded text is somebody else's."""
    text = (message.caption or "").strip()
    own = is_private(message) and message.forward_origin is None and not text.startswith("/")
    return text if own else ""


# What a message may carry (`ContentType`), and what becomes of it. What stands in none of these sets is new
# since this was written, and refused like REFUSED.
PICTURES = frozenset({"photo", "live_photo", "sticker", "document", "paid_media", "rich_message"})
REFUSED: Mapping[str, str] = {  # the sentence; SEND_A_PICTURE where there is nothing better to say
    "animation": sentences.NOT_AN_ANIMATION,
    "video": sentences.NOT_A_VIDEO,
    "video_note": sentences.NOT_A_VIDEO,
    "story": sentences.NOT_A_VIDEO,
    "voice": sentences.NOT_A_VOICE,
    "audio": sentences.NOT_A_VOICE,
} | dict.fromkeys(
    (
        *("contact", "dice", "game", "poll", "venue", "location", "checklist", "invoice", "giveaway"),
        *("giveaway_winners", "unknown"),
    ),
    sentences.SEND_A_PICTURE,
)
# Telegram tells of what happened in the chat: nobody says anything to the bot by it.
SERVICE = frozenset(
    {
        *("new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title"),
        *("new_chat_photo", "delete_chat_photo", "group_chat_created", "supergroup_chat_created"),
        *("channel_chat_created", "message_auto_delete_timer_changed", "migrate_to_chat_id"),
        *("migrate_from_chat_id", "pinned_message", "successful_payment", "refunded_payment"),
        *("users_shared", "user_shared", "chat_shared", "gift", "unique_gift", "gift_upgrade_sent"),
        *("connected_website", "write_access_allowed", "passport_data", "proximity_alert_triggered"),
        *("boost_added", "chat_background_set", "checklist_tasks_done", "checklist_tasks_added"),
        *("direct_message_price_changed", "paid_message_price_changed", "forum_topic_created"),
        *("forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden"),
        *("general_forum_topic_unhidden", "giveaway_created", "giveaway_completed", "managed_bot_created"),
        *("poll_option_added", "poll_option_deleted", "suggested_post_approved", "suggested_post_declined"),
        *("suggested_post_approval_failed", "suggested_post_paid", "suggested_post_refunded"),
        *("video_chat_scheduled", "video_chat_started", "video_chat_ended"),
        *("video_chat_participants_invited", "web_app_data", "community_chat_added"),
        *("community_chat_removed", "community_chat_joined"),
    }
)


def find(message: Message | ExternalReplyInfo) -> Found | Refused | None:
    """What the message carries, of several pictures the first one.

    None: nothing of that kind (text, a service message).
    """
    pictures = find_all(message)
    return pictures if isinstance(pictures, Refused) else next(iter(pictures), None)


def find_all(message: Message | ExternalReplyInfo) -> Sequence[Found] | Refused:  # noqa: PLR0911 - a table
    """All pictures that the message carries, in the order in which it is read."""
    kind = _kind(message)
    if message.live_photo:  # before the photo: Telegram gives the still picture as both
        return _stills(message.live_photo)
    if message.photo:
        return [_largest(message.photo)]
    if message.sticker:
        sticker = message.sticker
        if sticker.is_animated or sticker.is_video:
            return Refused(sentences.NOT_A_STATIC_STICKER)
        return [Found(sticker.file_id, sticker.file_unique_id, sticker.file_size)]
    if message.document and not message.animation:  # Telegram gives animations as both
        found = _document(message.document)
        return found if isinstance(found, Refused) else [found]
    if message.paid_media:
        return _paid(message.paid_media)
    if isinstance(message, Message) and message.rich_message:
        return [*_inside(message.rich_message)] or Refused(sentences.SEND_A_PICTURE)
    if kind is None or kind in SERVICE:
        return []
    return Refused(REFUSED.get(kind, sentences.SEND_A_PICTURE))


def _kind(message: Message | ExternalReplyInfo) -> str | None:
    """The `ContentType` of what is said; None: text, or nothing but where it was said."""
    if isinstance(message, Message):
        # A document beside an animation is the animation.
        kind = ContentType.ANIMATION.value if message.animation else message.content_type
        return None if kind == ContentType.TEXT else kind
    return next((kind for kind in (*PICTURES, *REFUSED) if getattr(message, kind, None)), None)


def _largest(sizes: Sequence[PhotoSize]) -> Found:
    largest = max(sizes, key=lambda size: size.width * size.height)
    return Found(largest.file_id, largest.file_unique_id, largest.file_size)


def _stills(live: LivePhoto) -> Sequence[Found] | Refused:
    """The still picture of a live photo, whose own file is a video."""
    return [_largest(live.photo)] if live.photo else Refused(sentences.NOT_A_VIDEO)


def _paid(media: PaidMediaInfo) -> Sequence[Found] | Refused:
    """The pictures among paid media: those that the bot is shown, which are not behind the payment."""
    found: list[Found] = []
    for item in media.paid_media:
        if isinstance(item, PaidMediaPhoto):
            found.append(_largest(item.photo))
        elif isinstance(item, PaidMediaLivePhoto) and item.live_photo.photo:
            found.append(_largest(item.live_photo.photo))
    if found:
        return found
    moving = any(isinstance(item, PaidMediaVideo) for item in media.paid_media)
    return Refused(sentences.NOT_A_VIDEO if moving else sentences.SEND_A_PICTURE)


def _inside(part: object) -> Iterator[Found]:
    """The pictures in a rich message, at whatever depth: in collages, lists, quotations, details."""
    if isinstance(part, RichBlockPhoto):
        yield _largest(part.photo)
    elif isinstance(part, RichBlockDocument):
        if isinstance(found := _document(part.document), Found):
            yield found
    else:
        for one in _parts(part):
            yield from _inside(one)


def _parts(part: object) -> Iterable[object]:
    if isinstance(part, TelegramObject):
        return [getattr(part, name) for name in type(part).model_fields]
    return part if isinstance(part, list) else ()


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
    """The pictures of the message itself, else of the one it answers (here or quoted from another chat)."""
    refusal: Refused | None = None
    for one in (message, message.reply_to_message, message.external_reply):
        found = find_all(one) if one is not None else ()
        if one is None or not found:
            continue
        if isinstance(found, Refused):
            refusal = refusal or found
        elif isinstance(one, Message):
            return Target.of(one, found)
        else:  # what is quoted from elsewhere has no message here
            return Target(found, message.message_id, person_quoted(one))
    return refusal or Refused(sentences.ANSWER_A_PICTURE)


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
    if message.rich_message is not None and _mentioned(message.rich_message, me):
        return True
    answered = message.reply_to_message
    answers_me = answered is not None and answered.from_user is not None and answered.from_user.id == me.id
    return answers_me and find(message) is not None


def _mentioned(part: object, me: User) -> bool:
    """Whether a rich message mentions the bot."""
    if isinstance(part, RichTextMention):
        return part.username.removeprefix("@").casefold() == (me.username or "").casefold()
    if isinstance(part, RichTextTextMention):
        return part.user.id == me.id
    return any(_mentioned(one, me) for one in _parts(part))
