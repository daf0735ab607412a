"""What a message may carry, and what becomes of each kind; also when a message is edited into another one."""

from __future__ import annotations

import types
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from aiogram.enums import ContentType
from aiogram.types import Message, TelegramObject

from bot.app import App
from bot.messages.targets import PICTURES, REFUSED, SERVICE
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from tests.bot.conftest import OTHER, Json, replies_to, reply_to
from tests.drawing import draw_meme, jpeg_bytes, png_bytes
from tests.inference.fakes import PLAIN, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SECOND = jpeg_bytes(draw_meme("tweet", width=300))
NAME = "@meme_describer_bot"


def least(annotation: Any) -> Any:
    """The smallest value of a type of the Bot API, as JSON."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return least(arguments[0])
    if origin in (Union, types.UnionType):
        return least(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [least(arguments[0])]
    if isinstance(annotation, type) and issubclass(annotation, TelegramObject):
        annotation.model_rebuild()  # else the fields of one that nobody met yet are names
        return {
            field.alias or name: least(field.annotation)
            for name, field in annotation.model_fields.items()
            if field.is_required() or get_origin(field.annotation) is Literal  # "type" tells which it is
        }
    return {int: 1, float: 1.0, str: "x", bool: True, datetime: 1}[annotation]


def content_of(kind: str) -> Json:
    if kind == ContentType.UNKNOWN:
        return {"hologram": {"from": "the future"}}
    return {kind: least(Message.model_fields[kind].annotation)}


def photo_of(sandbox: Sandbox, data: bytes, width: int) -> list[Json]:
    """Two sizes of a photo, of which the larger one is ``data``."""
    sizes = []
    for side in (10, width):
        stored = sandbox.world.store(data if side == width else picture(), "photos", ".jpg", "image/jpeg")
        sizes.append(sandbox.world.file_object(stored, width=side, height=side))
    return sizes


def test_every_kind_of_content_is_classified() -> None:
    """One that a later Bot API adds must be looked at: it may hold a picture, or be a service message."""
    kinds = {kind.value for kind in ContentType} - {"any", "text"}
    assert PICTURES | set(REFUSED) | SERVICE == kinds
    assert len(PICTURES) + len(REFUSED) + len(SERVICE) == len(kinds)


async def test_what_is_no_picture_gets_a_sentence_and_service_messages_get_silence(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.privacy = False
    happened = sorted(SERVICE - {"migrate_to_chat_id"})  # which is followed: see test_troubles
    refused = {kind: await sandbox.send_raw(content_of(kind)) for kind in REFUSED}
    silent = [await sandbox.send_raw(content_of(kind), user=OTHER) for kind in happened]
    in_group = [await sandbox.send_raw(content_of(kind), chat=GROUP) for kind in (*REFUSED, *happened)]
    for kind, message in refused.items():
        assert "Пришлите" in (await reply_to(sandbox, message))["text"], kind
    await reply_to(sandbox, await sandbox.send_text("привет", user=OTHER))
    assert len(sandbox.messages(OTHER, by_bot=True)) == 1, "only what was written is answered"
    assert not [one for message in silent for one in replies_to(sandbox, message)]
    assert not [one for message in in_group for one in replies_to(sandbox, message)]
    assert all(len(replies_to(sandbox, message)) == 1 for message in refused.values())


async def test_of_a_live_photo_the_still_picture_is_described(app: App, sandbox: Sandbox) -> None:
    video = sandbox.world.store(b"video", "videos", ".mp4", "video/mp4")
    live = sandbox.world.file_object(video, width=400, height=400, duration=3)
    still = photo_of(sandbox, MEME, 400)
    for content in (
        {"live_photo": live | {"photo": still}},
        {"live_photo": live | {"photo": still}, "photo": still},  # as Telegram sends it
    ):
        message = await sandbox.send_raw(content)
        assert (await reply_to(sandbox, message))["text"].startswith("400 x")
        assert len(replies_to(sandbox, message)) == 1
    assert (
        "описывать видео" in (await reply_to(sandbox, await sandbox.send_raw({"live_photo": live})))["text"]
    )


async def test_every_photo_of_a_rich_message_is_described_in_order(app: App, sandbox: Sandbox) -> None:
    def block(width: int) -> Json:
        return {"type": "photo", "photo": photo_of(sandbox, picture(PLAIN, (width, 30)), width)}

    paragraph = {"type": "paragraph", "text": ["Слова ", {"type": "bold", "text": "жирные"}]}
    stored = sandbox.world.store(png_bytes(draw_meme("photo", width=60)), "documents", ".png", "image/png")
    document = sandbox.world.file_object(stored, file_name="a.png", mime_type="image/png")
    rich = {
        "blocks": [
            paragraph,
            block(41),
            {"type": "collage", "blocks": [block(42), block(43)]},
            {"type": "list", "items": [{"label": "1", "blocks": [paragraph, block(44)]}]},
            {
                "type": "details",
                "summary": "ещё",
                "blocks": [{"type": "blockquote", "blocks": [block(45)]}],
            },
            {"type": "document", "document": document},
        ]
    }
    message = await sandbox.send_raw({"rich_message": rich})
    await sandbox.wait_for(lambda: len(replies_to(sandbox, message)) == 6)
    firsts = [one["text"].split("\n")[0] for one in replies_to(sandbox, message)]
    assert firsts == ["41 x 30", "42 x 30", "43 x 30", "44 x 30", "45 x 30", "60 x 45"]
    without = await sandbox.send_raw({"rich_message": {"blocks": [paragraph]}})
    assert "Я описываю картинки" in (await reply_to(sandbox, without))["text"]


async def test_a_rich_message_in_a_group_addresses_the_bot_by_its_mention(app: App, sandbox: Sandbox) -> None:
    sandbox.world.privacy = False
    photo = {"type": "photo", "photo": photo_of(sandbox, MEME, 400)}
    mention = {"type": "mention", "text": NAME, "username": NAME[1:]}
    unasked = await sandbox.send_raw({"rich_message": {"blocks": [photo]}}, chat=GROUP)
    asked = await sandbox.send_raw(
        {"rich_message": {"blocks": [{"type": "paragraph", "text": ["что тут, ", mention]}, photo]}},
        chat=GROUP,
    )
    assert (await reply_to(sandbox, asked))["text"].startswith("400 x")
    assert not replies_to(sandbox, unasked)


async def test_of_paid_media_what_the_bot_is_shown_is_described(app: App, sandbox: Sandbox) -> None:
    first = {"type": "photo", "photo": photo_of(sandbox, picture(PLAIN, (41, 30)), 41)}
    live = {"file_id": "v", "file_unique_id": "v", "width": 1, "height": 1, "duration": 1}
    second = {
        "type": "live_photo",
        "live_photo": live | {"photo": photo_of(sandbox, picture(PLAIN, (42, 30)), 42)},
    }
    hidden: Json = {"type": "preview", "width": 100}
    message = await sandbox.send_raw({"paid_media": {"star_count": 1, "paid_media": [hidden, first, second]}})
    await sandbox.wait_for(lambda: len(replies_to(sandbox, message)) == 2)
    assert [one["text"].split("\n")[0] for one in replies_to(sandbox, message)] == ["41 x 30", "42 x 30"]
    unseen = await sandbox.send_raw({"paid_media": {"star_count": 1, "paid_media": [hidden]}})
    assert "Я описываю картинки" in (await reply_to(sandbox, unseen))["text"]


async def nothing_more(sandbox: Sandbox, chat: int | None = None) -> None:
    """What was sent until now is handled: a later message of the same person is answered."""
    asked = await sandbox.send_text(f"/help{NAME}", chat=chat)
    before = len(sandbox.messages(chat or ME, by_bot=True))
    await sandbox.wait_for(lambda: len(sandbox.messages(chat or ME, by_bot=True)) > before or None)
    assert asked


async def test_a_message_that_has_another_picture_now_is_answered_once_more(
    app: App, sandbox: Sandbox
) -> None:
    message = await sandbox.send_photo(MEME)
    assert (await reply_to(sandbox, message))["text"].startswith("400 x")
    sandbox.edit(message, {"caption": "другая подпись"})  # the picture is the same
    await nothing_more(sandbox)
    sandbox.edit(message, {"photo": photo_of(sandbox, SECOND, 300)})
    await sandbox.wait_for(lambda: len(replies_to(sandbox, message)) == 2)
    assert replies_to(sandbox, message)[1]["text"].startswith("300 x")
    sandbox.edit(message, {"caption": "третья подпись"})
    await nothing_more(sandbox)
    assert len(replies_to(sandbox, message)) == 2
    assert len(sandbox.calls_of("download")) == 2


async def test_other_messages_that_are_edited_are_no_new_question(app: App, sandbox: Sandbox) -> None:
    place = await sandbox.send_raw({"location": {"latitude": 1.0, "longitude": 2.0, "live_period": 60}})
    text = await sandbox.send_text("привет")
    for message in (place, text):
        await reply_to(sandbox, message)
    for number in range(3):
        sandbox.edit(place, {"location": {"latitude": 1.0 + number, "longitude": 2.0}})
        sandbox.edit(text, {"text": f"привет {number}"})
    await nothing_more(sandbox)
    assert [len(replies_to(sandbox, message)) for message in (place, text)] == [1, 1]


@pytest.mark.parametrize("caption", [NAME, f"/caption{NAME}", "/caption"])
async def test_a_picture_in_a_group_that_addresses_the_bot_after_an_edit_is_described(
    app: App, sandbox: Sandbox, caption: str
) -> None:
    sandbox.world.privacy = False
    message = await sandbox.send_photo(MEME, chat=GROUP, caption="смотрите")
    sandbox.edit(message, {"caption": caption})
    assert (await reply_to(sandbox, message))["text"].startswith("400 x")
    sandbox.edit(message, {"caption": f"{caption} пожалуйста"})
    await nothing_more(sandbox, GROUP)
    assert len(replies_to(sandbox, message)) == 1


async def test_an_answer_to_a_picture_that_mentions_the_bot_after_an_edit_has_it_described(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.privacy = False
    photo = await sandbox.send_photo(MEME, chat=GROUP)
    question = await sandbox.send_text("что тут?", chat=GROUP, reply_to=photo["message_id"])
    sandbox.edit_text(question["message_id"], f"{NAME} что тут?")
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_an_album_in_a_group_whose_caption_mentions_the_bot_after_an_edit_is_described_whole(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.privacy = False
    pictures = [picture(PLAIN, (40 + number, 30)) for number in range(3)]
    album = await sandbox.send_album(pictures, as_files=True, caption="смотрите", chat=GROUP)
    await nothing_more(sandbox, GROUP)
    sandbox.edit(album[0], {"caption": NAME})
    for number, message in enumerate(album):
        assert (await reply_to(sandbox, message))["text"].startswith(f"{40 + number} x 30")
    sandbox.edit(album[0], {"caption": f"{NAME}!"})
    await nothing_more(sandbox, GROUP)
    assert [len(replies_to(sandbox, message)) for message in album] == [1, 1, 1]
