"""The methods of the Bot API, asked by aiogram's own client over HTTP."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BufferedInputFile,
    CopyTextButton,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyParameters,
    Update,
)
from PIL import Image

from bot.sandbox import ME, Sandbox
from bot.sandbox.pictures import NotAPhotoError
from bot.sandbox.scene import GROUP
from bot.sandbox.world import Json
from tests.drawing import (
    bomb_png_bytes,
    draw_meme,
    gif_bytes,
    jpeg_bytes,
    png_bytes,
    rotated_jpeg_bytes,
    webp_bytes,
)

PHOTO = jpeg_bytes(draw_meme("photo", width=320))


def keyboard(*data: str) -> InlineKeyboardMarkup:
    row = [InlineKeyboardButton(text=f"кнопка {one}", callback_data=one) for one in data]
    return InlineKeyboardMarkup(inline_keyboard=[row])


async def updates(bot: Bot, **how: Any) -> list[Update]:
    return await bot.get_updates(**{"timeout": 5, **how})


async def refusal(call: Any) -> str:
    """What the server says against a call."""
    with pytest.raises(TelegramBadRequest) as refused:
        await call
    return refused.value.message


# --- updates ----------------------------------------------------------------------------------------------


async def test_updates_wait_until_their_offset_is_acknowledged(bot: Bot, sandbox: Sandbox) -> None:
    for text in ("раз", "два", "три"):
        await sandbox.send_text(text)

    first = await updates(bot, limit=2)
    again = await updates(bot)
    rest = await updates(bot, offset=first[-1].update_id + 1)

    assert [update.message and update.message.text for update in first] == ["раз", "два"]
    assert [update.update_id for update in again] == [
        *(update.update_id for update in first),
        first[-1].update_id + 1,
    ]
    assert [update.message and update.message.text for update in rest] == ["три"]
    assert await updates(bot, offset=rest[-1].update_id + 1, timeout=0) == []
    assert await updates(bot, timeout=0) == []


async def test_a_negative_offset_forgets_all_but_the_last(bot: Bot, sandbox: Sandbox) -> None:
    for text in ("раз", "два", "три"):
        await sandbox.send_text(text)
    assert [update.message and update.message.text for update in await updates(bot, offset=-1)] == ["три"]
    assert len(await updates(bot, timeout=0)) == 1


async def test_a_waiting_poll_is_answered_by_what_happens(bot: Bot, sandbox: Sandbox) -> None:
    waiting = asyncio.create_task(updates(bot, timeout=50))
    await sandbox.wait_for(lambda: sandbox.online)
    await sandbox.send_text("дождался")
    (update,) = await asyncio.wait_for(waiting, 10)
    assert update.message is not None
    assert update.message.text == "дождался"


async def test_the_second_poller_ends_the_first_with_a_conflict(bot: Bot, sandbox: Sandbox) -> None:
    first = asyncio.create_task(updates(bot, timeout=50))
    await sandbox.wait_for(lambda: sandbox.online)
    second = asyncio.create_task(updates(bot, timeout=50))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await first
    await sandbox.send_text("второму")
    assert len(await second) == 1


async def test_allowed_updates_are_remembered(bot: Bot, sandbox: Sandbox) -> None:
    await updates(bot, allowed_updates=["callback_query"], timeout=0)
    await sandbox.send_text("не покажут")
    assert await updates(bot, timeout=0) == []
    await updates(bot, allowed_updates=[], timeout=0)
    await sandbox.send_text("покажут")
    assert len(await updates(bot, timeout=0)) == 1


async def test_no_polling_while_a_webhook_is_set(bot: Bot) -> None:
    await bot.set_webhook("http://127.0.0.1:9/hook")
    with pytest.raises(TelegramConflictError, match="can't use getUpdates method while webhook is active"):
        await updates(bot, timeout=0)
    assert (await bot.get_webhook_info()).url == "http://127.0.0.1:9/hook"
    await bot.delete_webhook()
    assert await updates(bot, timeout=0) == []
    assert "loopback" in await refusal(bot.set_webhook("https://example.org/hook"))


async def test_a_webhook_gets_its_updates_with_the_secret_until_it_takes_them(
    bot: Bot, sandbox: Sandbox
) -> None:
    taken: list[tuple[str | None, dict[str, Any]]] = []
    answers = iter([500, 200, 200])

    async def hook(request: aiohttp.web.Request) -> aiohttp.web.Response:
        taken.append((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), await request.json()))
        sandbox.world.changed()
        body = {"method": "sendMessage", "chat_id": ME, "text": "ответ из вебхука"} if len(taken) == 3 else {}
        return aiohttp.web.json_response(body, status=next(answers))

    app = aiohttp.web.Application()
    app.router.add_post("/hook", hook)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        await bot.set_webhook(f"http://127.0.0.1:{port}/hook", secret_token="тайна".encode().hex())
        await sandbox.send_text("раз")
        await sandbox.send_text("два")
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
    finally:
        await bot.delete_webhook()
        await runner.cleanup()
    assert [update["message"]["text"] for _, update in taken] == ["раз", "раз", "два"]
    assert {secret for secret, _ in taken} == {"тайна".encode().hex()}
    assert sandbox.messages(by_bot=True)[0]["text"] == "ответ из вебхука"


# --- messages ---------------------------------------------------------------------------------------------


async def test_a_message_is_parsed_and_answers_another(bot: Bot, sandbox: Sandbox) -> None:
    asked = await sandbox.send_text("вопрос")
    sent = await bot.send_message(
        ME,
        "<b>1 &lt; 2</b>",
        parse_mode="HTML",
        reply_parameters=ReplyParameters(message_id=asked["message_id"]),
        reply_markup=keyboard("x"),
    )
    assert sent.text == "1 < 2"
    assert sent.entities is not None
    assert [(entity.type, entity.offset, entity.length) for entity in sent.entities] == [("bold", 0, 5)]
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "вопрос"
    assert sent.reply_markup is not None
    assert sent.reply_markup.inline_keyboard[0][0].callback_data == "x"
    assert sent.from_user is not None
    assert sent.from_user.id == (await bot.me()).id
    assert sandbox.messages()[-1]["message_id"] == sent.message_id


async def test_the_limit_counts_after_the_markup(bot: Bot) -> None:
    assert (await bot.send_message(ME, "<b>" + "я" * 4096 + "</b>", parse_mode="HTML")).text == "я" * 4096
    assert "message is too long" in await refusal(bot.send_message(ME, "я" * 4097))
    assert "message is too long" in await refusal(bot.send_message(ME, "😀" * 2049))
    assert "message text is empty" in await refusal(bot.send_message(ME, " \n "))
    assert "can't parse entities" in await refusal(bot.send_message(ME, "<b>", parse_mode="HTML"))
    caption = await refusal(bot.send_photo(ME, BufferedInputFile(PHOTO, "a.jpg"), caption="я" * 1025))
    assert "message caption is too long" in caption


async def test_replies_to_what_is_gone(bot: Bot) -> None:
    gone = ReplyParameters(message_id=1)
    assert "message to be replied not found" in await refusal(
        bot.send_message(ME, "x", reply_parameters=gone)
    )
    gone = ReplyParameters(message_id=1, allow_sending_without_reply=True)
    assert (await bot.send_message(ME, "x", reply_parameters=gone)).reply_to_message is None
    assert (
        await bot.send_message(ME, "x", reply_to_message_id=1, allow_sending_without_reply=True)
    ).reply_to_message is None
    assert "chat not found" in await refusal(bot.send_message(404, "x"))


async def test_topics_of_a_forum(bot: Bot, sandbox: Sandbox) -> None:
    thread = sandbox.topic()
    asked = await sandbox.send_text("привет", chat=GROUP, thread=thread)
    answered = ReplyParameters(message_id=asked["message_id"])
    for said in (
        await bot.send_message(GROUP, "x", message_thread_id=thread),
        await bot.send_message(GROUP, "x", reply_parameters=answered),
    ):
        assert (said.message_thread_id, said.is_topic_message) == (thread, True)
    assert (await bot.send_message(GROUP, "x")).message_thread_id is None
    assert await bot.send_chat_action(GROUP, "typing", message_thread_id=thread)
    gone = ReplyParameters(message_id=1, allow_sending_without_reply=True)
    assert "message to be replied not found" in await refusal(
        bot.send_message(GROUP, "x", message_thread_id=thread, reply_parameters=gone)
    )
    assert "thread not found" in await refusal(bot.send_message(GROUP, "x", message_thread_id=1))
    sandbox.close_topic(thread)
    assert "TOPIC_CLOSED" in await refusal(bot.send_message(GROUP, "x", reply_parameters=answered))
    sandbox.delete_topic(thread)
    assert "thread not found" in await refusal(bot.send_message(GROUP, "x", message_thread_id=thread))
    assert "thread not found" in await refusal(
        bot.send_chat_action(GROUP, "typing", message_thread_id=thread)
    )


async def test_direct_messages_and_business_chats_want_to_be_named(bot: Bot, sandbox: Sandbox) -> None:
    await sandbox.send_text("привет", chat=-1_007_777, direct_topic=5)
    assert "topic must be specified" in await refusal(bot.send_message(-1_007_777, "x"))
    assert "not shown" in await refusal(bot.send_chat_action(-1_007_777, "typing"))
    said = await bot.send_message(-1_007_777, "x", direct_messages_topic_id=5)
    assert said.direct_messages_topic is not None and said.direct_messages_topic.topic_id == 5

    assert "business connection not found" in await refusal(
        bot.send_message(ME, "x", business_connection_id="b")
    )
    await sandbox.send_text("привет", connection="b")
    said = await bot.send_message(ME, "x", business_connection_id="b")
    assert said.business_connection_id == "b"
    place: Json = {"chat_id": ME, "message_id": said.message_id}
    assert "to edit not found" in await refusal(bot.edit_message_text("y", **place))
    assert "to delete not found" in await refusal(bot.delete_message(**place))
    await bot.edit_message_text("y", business_connection_id="b", **place)
    await bot.delete_business_messages("b", [said.message_id])
    assert not sandbox.messages(by_bot=True)


async def test_a_button_holds_64_bytes_or_256_characters_to_copy(
    bot: Bot, http: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    assert await bot.send_message(ME, "x", reply_markup=keyboard("я" * 32))
    assert "BUTTON_DATA_INVALID" in await refusal(bot.send_message(ME, "x", reply_markup=keyboard("я" * 33)))
    for copied, refused in (("я" * 256, False), ("я" * 257, True), ("", True)):
        button = InlineKeyboardButton(text="копия", copy_text=CopyTextButton(text=copied))
        sending = bot.send_message(ME, "x", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))
        assert "COPY_TEXT" in await refusal(sending) if refused else await sending
    body = {"chat_id": ME, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "нема"}]]}}
    async with http.post(f"/bot{sandbox.token}/sendMessage", json=body) as answer:
        assert "Text buttons are unallowed" in (await answer.json())["description"]


async def test_edits(bot: Bot, sandbox: Sandbox) -> None:
    sent = await bot.send_message(ME, "было", reply_markup=keyboard("a"))
    where: dict[str, Any] = {"chat_id": ME, "message_id": sent.message_id}
    edited = await bot.edit_message_text("<i>стало</i>", parse_mode="HTML", **where)
    assert isinstance(edited, Message)
    assert (edited.text, edited.reply_markup) == ("стало", None)
    assert edited.edit_date
    same = bot.edit_message_text("<i>стало</i>", parse_mode="HTML", **where)
    assert "message is not modified" in await refusal(same)
    await bot.edit_message_reply_markup(reply_markup=keyboard("b"), **where)
    assert "message is not modified" in await refusal(
        bot.edit_message_reply_markup(reply_markup=keyboard("b"), **where)
    )
    assert sandbox.messages()[-1]["text"] == "стало"
    theirs = await sandbox.send_text("моё")
    where["message_id"] = theirs["message_id"]
    assert "message can't be edited" in await refusal(bot.edit_message_text("x", **where))
    where["message_id"] = 1
    assert "message to edit not found" in await refusal(bot.edit_message_text("x", **where))
    await bot.delete_message(ME, sent.message_id)
    assert "message to delete not found" in await refusal(bot.delete_message(ME, sent.message_id))


async def test_a_button_is_pressed_and_answered_once(bot: Bot, sandbox: Sandbox) -> None:
    sent = await bot.send_message(ME, "нажми", reply_markup=keyboard("r:1"))
    pressed = sandbox.press(sent.message_id, "r:1")
    query = (await updates(bot))[0].callback_query
    assert query is not None
    assert (query.data, query.from_user.id) == ("r:1", ME)
    assert isinstance(query.message, Message)
    assert query.message.message_id == sent.message_id
    await bot.answer_callback_query(query.id, "спасибо")
    assert pressed.answer == {"text": "спасибо", "show_alert": False}
    assert "query is too old" in await refusal(bot.answer_callback_query(query.id))
    late = sandbox.press(sent.message_id, "r:1")
    sandbox.expire_callbacks()
    assert "query is too old" in await refusal(bot.answer_callback_query(late.query["id"]))
    with pytest.raises(ValueError, match="no button"):
        sandbox.press(sent.message_id, "r:2")
    assert sandbox.press(sent.message_id, "r:2", stale=True).answer is None


async def test_force_reply_is_for_the_person_only(bot: Bot, sandbox: Sandbox) -> None:
    asked = await bot.send_message(
        ME, "напишите", reply_markup=ForceReply(input_field_placeholder="как лучше")
    )
    assert asked.reply_markup is None
    assert sandbox.messages()[-1]["_page"] == {"force_reply": True, "placeholder": "как лучше"}
    await sandbox.send_text("вот так", reply_to=asked.message_id)
    message = (await updates(bot))[0].message
    assert message is not None
    assert message.reply_to_message is not None
    assert message.reply_to_message.message_id == asked.message_id
    assert "_page" not in (message.reply_to_message.model_extra or {})


# --- pictures and files -----------------------------------------------------------------------------------


async def test_a_photo_comes_in_telegrams_sizes_upright_and_can_be_fetched(
    bot: Bot, sandbox: Sandbox
) -> None:
    await sandbox.send_photo(jpeg_bytes(Image.new("RGB", (3000, 1500), "teal")), caption="подпись")
    message = (await updates(bot))[0].message
    assert message is not None
    assert message.photo is not None
    assert message.caption == "подпись"
    sizes = [(size.width, size.height) for size in message.photo]
    assert sizes == [(90, 45), (320, 160), (800, 400), (1280, 640)]
    file = await bot.get_file(message.photo[-1].file_id)
    assert file.file_path is not None
    assert file.file_path.startswith("photos/")
    content = await bot.download_file(file.file_path)
    assert content is not None
    data = content.read()
    assert len(data) == file.file_size == message.photo[-1].file_size
    assert Image.open(BytesIO(data)).size == (1280, 640)

    meme = draw_meme("caption_bar", width=400)
    turned = await sandbox.send_photo(rotated_jpeg_bytes(meme))
    last = turned["photo"][-1]
    assert (last["width"], last["height"]) == meme.size
    assert not Image.open(BytesIO(sandbox.file_bytes(last["file_id"]))).getexif()


async def test_the_same_picture_has_one_unique_id_and_many_file_ids(sandbox: Sandbox) -> None:
    one, two = [(await sandbox.send_photo(PHOTO))["photo"][-1] for _ in range(2)]
    other = (await sandbox.send_photo(jpeg_bytes(draw_meme("tweet", width=320))))["photo"][-1]
    assert one["file_unique_id"] == two["file_unique_id"] != other["file_unique_id"]
    assert one["file_id"] != two["file_id"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture", "IMAGE_PROCESS_FAILED"),
        (b"", "IMAGE_PROCESS_FAILED"),
        (PHOTO[: len(PHOTO) // 2], "IMAGE_PROCESS_FAILED"),
        (png_bytes(Image.new("RGB", (2100, 100))), "PHOTO_INVALID_DIMENSIONS"),
        (png_bytes(Image.new("1", (9000, 2000))), "PHOTO_INVALID_DIMENSIONS"),
    ],
)
async def test_what_is_no_photo(bot: Bot, sandbox: Sandbox, data: bytes, reason: str) -> None:
    with pytest.raises(NotAPhotoError, match=reason):
        await sandbox.send_photo(data)
    if data:
        assert reason in await refusal(bot.send_photo(ME, BufferedInputFile(data, "a.jpg")))


async def test_documents_keep_their_bytes(bot: Bot, sandbox: Sandbox) -> None:
    bomb = bomb_png_bytes()
    sent = await sandbox.send_document(bomb, "bomb.png")
    assert sent["document"]["mime_type"] == "image/png"
    assert "thumbnail" not in sent["document"]
    assert sandbox.file_bytes(sent["document"]["file_id"]) == bomb
    picture = await sandbox.send_document(PHOTO, "кот.jpg")
    assert picture["document"]["file_name"] == "кот.jpg"
    assert picture["document"]["thumbnail"]["width"] == 320
    for mode in ("CMYK", "L", "P", "LA", "I;16"):
        image = Image.new(mode, (40, 30))
        data = jpeg_bytes(image) if mode == "CMYK" else png_bytes(image)
        assert "thumbnail" in (await sandbox.send_document(data, "x.png"))["document"], mode
    assert (await sandbox.send_document(b"", "empty.jpg"))["document"]["file_size"] == 0


async def test_files_over_20_megabytes_are_not_handed_out(bot: Bot, sandbox: Sandbox) -> None:
    large = await sandbox.send_document(b"\0" * (20 * 1024 * 1024 + 1), "large.png")
    assert "file is too big" in await refusal(bot.get_file(large["document"]["file_id"]))
    fits = await sandbox.send_document(b"\0" * (20 * 1024 * 1024), "fits.png")
    assert (await bot.get_file(fits["document"]["file_id"])).file_size == 20 * 1024 * 1024
    assert "invalid file_id" in await refusal(bot.get_file("nothing"))


async def test_a_bot_sends_files(bot: Bot, sandbox: Sandbox) -> None:
    sent = await bot.send_document(
        ME, BufferedInputFile(b"zip", "отзывы.zip"), caption="<b>вот</b>", parse_mode="HTML"
    )
    assert sent.document is not None
    assert (sent.document.file_name, sent.document.file_size) == ("отзывы.zip", 3)
    assert sandbox.file_bytes(sent.document.file_id) == b"zip"
    again = await bot.send_document(ME, sent.document.file_id)
    assert again.document is not None
    assert again.document.file_unique_id == sent.document.file_unique_id
    photo = await bot.send_photo(ME, BufferedInputFile(PHOTO, "a.jpg"))
    assert photo.photo is not None
    assert [size.width for size in photo.photo] == [90, 320]
    assert "must be non-empty" in await refusal(bot.send_document(ME, BufferedInputFile(b"", "a")))
    assert "wrong remote file identifier" in await refusal(bot.send_document(ME, "nothing"))
    with pytest.raises(TelegramEntityTooLarge):
        await bot.send_document(ME, BufferedInputFile(b"\0" * (50 * 1024 * 1024 + 1), "huge.zip"))


async def test_albums_come_as_separate_messages_of_one_group(bot: Bot, sandbox: Sandbox) -> None:
    await sandbox.send_album([PHOTO, PHOTO, PHOTO], caption="три")
    messages = [update.message for update in await updates(bot)]
    assert len({message.media_group_id for message in messages if message}) == 1
    assert [message.caption for message in messages if message] == ["три", None, None]
    await sandbox.send_album([PHOTO, PHOTO], as_files=True)
    assert all(update.message and update.message.document for update in (await updates(bot))[3:])
    with pytest.raises(ValueError, match="2 to 10"):
        await sandbox.send_album([PHOTO])


async def test_other_kinds(bot: Bot, sandbox: Sandbox) -> None:
    frames = [draw_meme("photo", width=200, mood=mood) for mood in ("awake", "sleepy")]
    await sandbox.send_animation(gif_bytes(frames), "cat.gif")
    await sandbox.send_sticker(webp_bytes(draw_meme("photo", width=512)))
    await sandbox.send_sticker(b"tgs", animated=True)
    await sandbox.send_sticker(b"webm", video=True)
    await sandbox.send_video(b"mp4")
    await sandbox.send_voice(b"ogg")
    await sandbox.send_raw({"location": {"latitude": 55.7, "longitude": 37.6}})
    await sandbox.send_photo(
        PHOTO, forward_origin={"type": "hidden_user", "sender_user_name": "Кто-то", "date": 1_700_000_000}
    )
    found = [update.message for update in await updates(bot)]
    messages = [message for message in found if message is not None]
    assert len(messages) == 8
    assert messages[0].animation is not None
    assert messages[0].animation.thumbnail is not None
    assert messages[0].document is not None
    stickers = [message.sticker for message in messages[1:4] if message.sticker]
    assert [(one.is_animated, one.is_video) for one in stickers] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert stickers[0].width == 512
    assert messages[4].video is not None
    assert messages[5].voice is not None
    assert messages[6].location is not None
    assert messages[7].forward_origin is not None


# --- people and groups ------------------------------------------------------------------------------------


async def test_in_a_group_a_bot_is_told_of_what_concerns_it(bot: Bot, sandbox: Sandbox) -> None:
    name = (await bot.me()).username
    picture = await sandbox.send_photo(PHOTO, chat=GROUP)
    await sandbox.send_text("просто разговор", chat=GROUP)
    await sandbox.send_text("/caption@another_bot", chat=GROUP)
    await sandbox.send_text("/caption", chat=GROUP, user=42, reply_to=picture["message_id"])
    await sandbox.send_text(f"эй @{name}", chat=GROUP)
    own = await bot.send_message(GROUP, "я тут")
    await sandbox.send_text("спасибо", chat=GROUP, reply_to=own.message_id)
    messages = [update.message for update in await updates(bot)]
    assert [message.text for message in messages if message] == ["/caption", f"эй @{name}", "спасибо"]
    asked = messages[0]
    assert asked is not None
    assert (asked.chat.type, asked.chat.id) == ("supergroup", GROUP)
    assert asked.from_user is not None
    assert asked.from_user.id == 42
    assert asked.reply_to_message is not None
    assert asked.reply_to_message.photo is not None


async def test_blocked_and_migrated(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.block()
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(ME, "x")
    member = (await updates(bot))[0].my_chat_member
    assert member is not None
    assert member.new_chat_member.status == "kicked"
    sandbox.block(blocked=False)
    assert await bot.send_message(ME, "x")
    sandbox.migrate(GROUP, -100_999)
    with pytest.raises(TelegramMigrateToChat) as moved:
        await bot.send_message(GROUP, "x")
    assert moved.value.migrate_to_chat_id == -100_999
    assert await bot.send_message(-100_999, "x")


async def test_people_edit_their_texts(bot: Bot, sandbox: Sandbox) -> None:
    sent = await sandbox.send_text("было")
    sandbox.edit_text(sent["message_id"], "стало")
    edited = (await updates(bot))[1].edited_message
    assert edited is not None
    assert edited.text == "стало"
    answer = await bot.send_message(ME, "x")
    with pytest.raises(ValueError, match="no text of a person"):
        sandbox.edit_text(answer.message_id, "чужое")


async def test_languages_and_commands(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.user(language_code="en")
    await sandbox.send_text("hi")
    message = (await updates(bot))[0].message
    assert message is not None
    assert message.from_user is not None
    assert message.from_user.language_code == "en"
    russian = [BotCommand(command="help", description="Помощь")]
    english = [BotCommand(command="help", description="Help")]
    await bot.set_my_commands(russian, scope=BotCommandScopeAllPrivateChats())
    await bot.set_my_commands(english, scope=BotCommandScopeAllPrivateChats(), language_code="en")
    (kept,) = await bot.get_my_commands(scope=BotCommandScopeAllPrivateChats(), language_code="en")
    assert (kept.command, kept.description) == ("help", "Help")
    chat = sandbox.world.chats[ME]
    assert sandbox.world.commands_for(chat, "en")[0]["description"] == "Help"
    assert sandbox.world.commands_for(chat, "ru")[0]["description"] == "Помощь"
    bad = [BotCommand(command="Помощь", description="x")]
    assert "BOT_COMMAND_INVALID" in await refusal(bot.set_my_commands(bad))
    await bot.set_my_description("умею всё")
    assert (await bot.get_my_description()).description == "умею всё"


# --- troubles ---------------------------------------------------------------------------------------------


async def test_faults_on_order(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.fail("sendMessage", "flood", times=2, retry_after=7)
    for _ in range(2):
        with pytest.raises(TelegramRetryAfter) as flood:
            await bot.send_message(ME, "x")
        assert flood.value.retry_after == 7
    sandbox.fail("sendMessage", "server_error")
    with pytest.raises(TelegramServerError):
        await bot.send_message(ME, "x")
    sandbox.fail("sendMessage", "forbidden")
    with pytest.raises(TelegramForbiddenError):
        await bot.send_message(ME, "x")
    sandbox.fail("sendMessage", "reset")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(ME, "x")
    assert sandbox.messages() == []
    sandbox.fail("sendMessage", "reset_after")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(ME, "дошло")
    assert [message["text"] for message in sandbox.messages()] == ["дошло"]
    assert await bot.send_message(ME, "и снова")
    statuses = [call.status for call in sandbox.calls_of("sendMessage")]
    assert statuses == [429, 429, 500, 403, 0, 0, 200]


async def test_a_gate_holds_a_call_until_it_is_opened(bot: Bot, sandbox: Sandbox) -> None:
    gate = sandbox.hold("getMe")
    waiting = asyncio.create_task(bot.get_me())
    await sandbox.wait_for(lambda: gate.arrived)
    assert sandbox.calls_of("getMe")[0].status is None
    gate.release()
    assert (await waiting).is_bot


async def test_waiting_in_vain_tells_what_happened(sandbox: Sandbox) -> None:
    await sandbox.send_text("одно слово")
    with pytest.raises(TimeoutError, match="одно слово"):
        await sandbox.wait_for(lambda: False, timeout=0.01)
