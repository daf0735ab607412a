"""What people do with the bot, over real HTTP, with a real database and a real worker process."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from bot.app import App
from bot.config import Settings
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from tests.bot.conftest import (
    ADMIN,
    OTHER,
    Json,
    answer_to,
    caption_of,
    data_of,
    forget,
    labels,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import (
    bomb_png_bytes,
    draw_meme,
    gif_bytes,
    jpeg_bytes,
    png_bytes,
    rotated_jpeg_bytes,
    webp_bytes,
)
from tests.inference.fakes import PLAIN, POISON, picture

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
MENU = ["caption", "model", "compare", "settings", "language", "privacy", "forget", "help"]


async def test_a_photo_is_described_in_the_order_of_a_screen_reader(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME)
    answer = await reply_to(sandbox, photo)

    largest = max(photo["photo"], key=lambda size: size["width"])
    size = f"{largest['width']} x {largest['height']}"
    paragraphs = answer["text"].split("\n\n")
    assert paragraphs[0].startswith(f"{size}\nЦвет")
    assert paragraphs[1] == f"Слова на картинке:\nСЛОВА\nвторые {largest['width']}"
    assert paragraphs[2:] == ["Картинка стоит вверх ногами: она описана так, как если бы её перевернули."]
    assert labels(answer) == [
        "1 ★ плохо",
        "2 ★★ слабо",
        "3 ★★★ средне",
        "4 ★★★★ хорошо",
        "5 ★★★★★ отлично",
        "Исправить",
        "Ещё вариант",
        "Скопировать слова",
    ]
    copy = answer["reply_markup"]["inline_keyboard"][-1][-1]
    assert copy["copy_text"] == {"text": f"СЛОВА\nвторые {largest['width']}"}
    assert sandbox.calls_of("sendChatAction")


async def test_a_mark_is_saved_shown_in_the_message_and_can_be_changed(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    user = await app.store.people.find(ME)
    assert user is not None

    pressed = sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:4"))
    await sandbox.wait_for(lambda: "Ваша оценка: 4 из 5 – хорошо" in sandbox.messages()[-1]["text"])
    await answer_to(sandbox, pressed)
    assert await app.store.marks.rating(user.id, caption_id) == 4
    assert "✓ 4 ★★★★ хорошо" in labels(sandbox.messages()[-1])

    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:2"))
    await sandbox.wait_for(lambda: "Ваша оценка: 2 из 5 – слабо" in sandbox.messages()[-1]["text"])
    assert await app.store.marks.rating(user.id, caption_id) == 2
    assert "4 из 5" not in sandbox.messages()[-1]["text"]
    assert [label for label in labels(sandbox.messages()[-1]) if "✓" in label] == ["✓ 2 ★★ слабо"]


async def test_the_last_of_many_presses_wins(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    user = await app.store.people.find(ME)
    assert user is not None
    presses = [
        sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:{mark}"))
        for mark in (1, 5, 2, 4, 3)
    ]
    await sandbox.wait_for(lambda: all(press.answer for press in presses))
    await sandbox.wait_for(lambda: "Ваша оценка: 3 из 5" in sandbox.messages()[-1]["text"])
    assert await app.store.marks.rating(user.id, caption_id) == 3


async def test_words_too_long_to_be_copied_are_sent_alone(
    settings: Callable[..., Settings], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WORDS", "<слово> " * 1000)
    async with working(settings(), sandbox):
        photo = await sandbox.send_photo(MEME)
        (answer,) = await sandbox.wait_for(
            lambda: [one for one in replies_to(sandbox, photo) if "reply_markup" in one]
        )
        assert labels(answer)[-1] == "Прислать слова"
        sandbox.press(answer["message_id"], data_of(answer, "w:"))
        sent = await sandbox.wait_for(lambda: (found := replies_to(sandbox, answer))[2:] and found)
    said = "\n".join(one["text"] for one in sent).split()
    assert said == ["СЛОВА", "вторые", "400", *["<слово>"] * 1000]


async def test_a_correction_is_the_reply_to_a_prompt_and_can_be_edited(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    pressed = sandbox.press(answer["message_id"], data_of(answer, "c:"))
    prompt = await reply_to(sandbox, answer)
    assert "Напишите в ответ на это сообщение" in prompt["text"]
    await answer_to(sandbox, pressed)
    assert "force_reply" in str(sandbox.calls_of("sendMessage")[-1].params["reply_markup"])

    written = await sandbox.send_text("Рыжий кот <сидит> & смотрит", reply_to=prompt["message_id"])
    thanks = await reply_to(sandbox, written)
    assert "сохранено" in thanks["text"]
    user = await app.store.people.find(ME)
    caption_id = caption_of(answer)
    assert user is not None
    assert await app.store.marks.correction(user.id, caption_id) == "Рыжий кот <сидит> & смотрит"

    sandbox.world.add_update(
        "edited_message", sandbox.world.public(written) | {"text": "Кот", "edit_date": written["date"] + 1}
    )
    await sandbox.wait_for(lambda: len(replies_to(sandbox, written)) == 2)
    assert await app.store.marks.correction(user.id, caption_id) == "Кот"


async def test_a_correction_must_be_text(app: App, sandbox: Sandbox) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    sandbox.press(answer["message_id"], data_of(answer, "c:"))
    prompt = await reply_to(sandbox, answer)
    voice = await sandbox.send_voice(b"OggS", reply_to=prompt["message_id"])
    assert "только текстом" in (await reply_to(sandbox, voice))["text"]


async def test_another_version_is_sampled_with_a_seed_and_has_its_own_buttons(
    app: App, sandbox: Sandbox
) -> None:
    photo = await sandbox.send_photo(MEME)
    first = await reply_to(sandbox, photo)
    sandbox.press(first["message_id"], data_of(first, "v:"))
    await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 2)
    sandbox.press(first["message_id"], data_of(first, "v:"))
    await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 3)
    ids = [caption_of(message) for message in replies_to(sandbox, photo)]
    assert len(set(ids)) == 3
    rows = [await app.store.captions.get(caption_id) for caption_id in ids]
    options = [row.options for row in rows if row is not None]
    assert [one["strategy"] for one in options] == ["beam", "sample", "sample"]
    assert options[1]["seed"] != options[2]["seed"]


async def test_the_same_picture_is_described_once_and_rated_by_each_person(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.user(OTHER, first_name="Борис", language_code="ru")
    mine = await reply_to(sandbox, await sandbox.send_photo(MEME))
    theirs = await reply_to(sandbox, await sandbox.send_photo(MEME, user=OTHER))
    assert caption_of(mine) == caption_of(theirs)
    assert len(sandbox.calls_of("download")) == 1
    caption_id = caption_of(mine)
    sandbox.press(mine["message_id"], data_of(mine, f"r:{caption_id}:1"))
    sandbox.press(theirs["message_id"], data_of(theirs, f"r:{caption_id}:5"), user=OTHER)
    await sandbox.wait_for(lambda: "оценка: 1" in sandbox.messages(ME)[-1]["text"])
    await sandbox.wait_for(lambda: "оценка: 5" in sandbox.messages(OTHER)[-1]["text"])
    assert await app.store.marks.mean_rating(caption_id) == (3.0, 2)


async def test_after_an_update_of_the_program_a_picture_is_described_anew(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = await reply_to(sandbox, await sandbox.send_photo(MEME))
    old = caption_of(before)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database, database:
        database.execute("UPDATE captions SET program = 'before', text = 'Как описывали раньше.'")
    after = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert "Как описывали раньше" not in after["text"]
    assert caption_of(after) != old
    # What was said of the old text stays there.
    sandbox.press(before["message_id"], data_of(before, f"r:{old}:2"))
    await sandbox.wait_for(lambda: "оценка: 2" in sandbox.messages(ME)[1]["text"])
    assert await app.store.marks.mean_rating(old) == (2.0, 1)
    # From now on the new one is at hand.
    again = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert caption_of(again) == caption_of(after)
    assert len(sandbox.calls_of("download")) == 2


async def test_every_picture_of_an_album_is_answered_under_itself_in_order(
    app: App, sandbox: Sandbox
) -> None:
    pictures = [picture(PLAIN, (40 + number, 30)) for number in range(5)]
    album = await sandbox.send_album(pictures, as_files=True)
    await sandbox.wait_for(lambda: len(sandbox.messages(by_bot=True)) == 5)
    said = sandbox.messages(by_bot=True)
    assert [one["reply_to_message"]["message_id"] for one in said] == [one["message_id"] for one in album]
    assert [one["text"].split("\n")[0] for one in said] == [f"{40 + number} x 30" for number in range(5)]


async def test_pictures_of_every_kind_are_described(app: App, sandbox: Sandbox) -> None:
    meme = draw_meme("photo", width=60)
    sent = [
        await sandbox.send_document(png_bytes(meme), "meme.png"),
        await sandbox.send_document(png_bytes(meme), "meme.bin", "application/octet-stream"),
        await sandbox.send_document(png_bytes(meme), "Мем от 12.05", "application/octet-stream"),
        await sandbox.send_sticker(webp_bytes(meme)),
        await sandbox.send_photo(
            MEME,
            forward_origin={"type": "hidden_user", "sender_user_name": "Кто-то", "date": 0},
        ),
        await sandbox.send_document(png_bytes(meme.convert("P")), "palette.png"),
        await sandbox.send_document(png_bytes(meme.convert("I;16")), "deep.png"),
    ]
    # A file without a suffix and without a useful type is refused only when its name says what it is.
    kinds = ["60 x 45", None, "60 x 45", "60 x 45", "400", "60 x 45", "60 x 45"]
    for message, kind in zip(sent, kinds, strict=True):
        text = (await reply_to(sandbox, message))["text"]
        assert ("не картинка" in text) if kind is None else text.startswith(kind), text


async def test_a_picture_with_a_command_under_it_is_a_picture(app: App, sandbox: Sandbox) -> None:
    for caption in ("/help", "/forget", "/dance", "просто подпись"):
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME, caption=caption))
        assert answer["text"].startswith("400 x")


async def test_a_picture_on_its_side_is_described_upright(app: App, sandbox: Sandbox) -> None:
    document = await sandbox.send_document(rotated_jpeg_bytes(draw_meme("photo", width=60)), "side.jpg")
    answer = await reply_to(sandbox, document)
    assert answer["text"].startswith("60 x 45")
    row = await app.store.captions.get(caption_of(answer))
    assert row is not None
    kept = await app.store.pictures.get(row.picture_id)
    assert kept is not None
    assert (kept.width, kept.height) == (60, 45)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("text.jpg", "это просто текст".encode(), "В этом файле нет картинки"),
        ("half.jpg", MEME[: len(MEME) // 2], "повреждена"),
        ("bomb.png", bomb_png_bytes(), "слишком много точек"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "картинки этого формата"),
        ("large.png", MEME + bytes(25 * 1024 * 1024), "слишком большой: я могу скачать не больше 20 МБ"),
        ("notes.txt", b"text", "Этот файл не картинка"),
        ("film.mkv", b"\x1aE\xdf\xa3", "описывать видео"),
        ("empty.png", b"", "файл пустой"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
async def test_what_is_no_picture_gets_one_sentence(
    app: App, sandbox: Sandbox, name: str, data: bytes, sentence: str
) -> None:
    document = await sandbox.send_document(data, name)
    answer = await reply_to(sandbox, document)
    assert sentence in answer["text"]
    assert "Пришлите" in answer["text"]
    assert "reply_markup" not in answer
    # And the next good picture is described as if nothing had been.
    assert (await reply_to(sandbox, await sandbox.send_photo(MEME)))["text"].startswith("400 x")
    assert len(replies_to(sandbox, document)) == 1


async def test_other_messages_get_one_sentence(app: App, sandbox: Sandbox) -> None:
    frames = [draw_meme("photo", width=40), draw_meme("photo", width=40, mood="sleepy")]
    sent = {
        "анимации (GIF)": await sandbox.send_animation(gif_bytes(frames), "cat.gif"),
        "движущиеся стикеры": await sandbox.send_sticker(b"tgs", animated=True),
        "движущиеся стикеры.": await sandbox.send_sticker(b"webm", video=True),
        "описывать видео": await sandbox.send_video(b"mp4"),
        "слушать записи": await sandbox.send_voice(b"OggS"),
        "Пришлите картинку: фото": await sandbox.send_text("Привет!"),
        "такой команды": await sandbox.send_text("/dance"),
        "Я описываю картинки": await sandbox.send_raw({"location": {"latitude": 1.0, "longitude": 2.0}}),
        "ответьте командой /caption": await sandbox.send_text("/caption"),
    }
    for part, message in sent.items():
        text = (await reply_to(sandbox, message))["text"]
        assert part.rstrip(".").casefold() in text.casefold()
    assert len(sandbox.messages(by_bot=True)) == len(sent)


async def test_an_animated_file_is_described_by_its_first_frame(app: App, sandbox: Sandbox) -> None:
    frames = [draw_meme("photo", width=40), draw_meme("photo", width=40, mood="sleepy")]
    document = await sandbox.send_document(gif_bytes(frames), "cat.gif")
    answer = await reply_to(sandbox, document)
    assert answer["text"].startswith("40 x 30")
    assert "описан только её первый кадр" in answer["text"]


async def test_of_a_picture_that_did_not_come_whole_what_came_is_described(
    app: App, sandbox: Sandbox
) -> None:
    data = jpeg_bytes(draw_meme("photo", width=400))
    answer = await reply_to(sandbox, await sandbox.send_document(data[: len(data) * 9 // 10], "cat.jpg"))
    assert answer["text"].startswith("400 x "), "the rows that came are what is described"
    assert 150 < int(answer["text"].split()[2]) < 300
    assert "дошла не целиком" in answer["text"]
    little = await sandbox.send_document(data[: len(data) // 4], "cat.jpg")
    assert "повреждена или дошла не целиком" in (await reply_to(sandbox, little))["text"]
    # Only the mark of the end is missing: nothing is said of it.
    whole = await reply_to(sandbox, await sandbox.send_document(data[:-2], "cat.jpg"))
    assert whole["text"].startswith("400 x 300")
    assert "не целиком" not in whole["text"]


async def test_of_several_pages_the_first_is_described_and_it_is_said(app: App, sandbox: Sandbox) -> None:
    file = io.BytesIO()
    pages = [draw_meme("photo", width=40), draw_meme("photo", width=60)]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    answer = await reply_to(sandbox, await sandbox.send_document(file.getvalue(), "scan.tif"))
    assert answer["text"].startswith("40 x 30")
    assert "несколько страниц: описана только первая" in answer["text"]


async def test_pictures_of_other_formats_get_the_sentence_on_formats(app: App, sandbox: Sandbox) -> None:
    for data, name, kind in (
        (b"\xff\x0a" + bytes(200), "cat.jxl", "image/jxl"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(200), "cat.ico", "image/x-icon"),
        (b"8BPS\x00\x01" + bytes(200), "cat.psd", "image/vnd.adobe.photoshop"),
        (b"8BPS\x00\x01" + bytes(200), "cat.psd", "application/x-photoshop"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(200), "cat.ico", "application/octet-stream"),
        (b"8BPS\x00\x01" + bytes(200), "cat", "application/octet-stream"),
    ):
        answer = await reply_to(sandbox, await sandbox.send_document(data, name, kind))
        assert "этого формата" in answer["text"], (name, kind)


async def test_the_size_of_a_turned_picture_is_kept_as_it_is_seen(
    app: App, sandbox: Sandbox, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for format in ("TIFF", "JPEG", "PNG", "WEBP"):
        file = io.BytesIO()
        draw_meme("photo", width=80).transpose(Image.Transpose.ROTATE_90).save(file, format, exif=exif)
        answer = await reply_to(
            sandbox, await sandbox.send_document(file.getvalue(), f"cat.{format.lower()}")
        )
        assert answer["text"].startswith("80 x 60"), format
    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        assert database.execute("SELECT width, height FROM pictures").fetchall() == [(80, 60)] * 4


async def test_english_is_spoken_with_people_whose_telegram_is_english(app: App, sandbox: Sandbox) -> None:
    sandbox.user(OTHER, first_name="Bob", language_code="en-GB")
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME, user=OTHER))
    assert "Words on the picture:" in answer["text"]
    assert labels(answer)[-3:] == ["Correct", "Another version", "Copy the words"]
    voice = await reply_to(sandbox, await sandbox.send_voice(b"OggS", user=OTHER))
    assert voice["text"] == "I cannot listen to recordings. Send a picture, and I will describe it."
    await sandbox.send_text("/help", user=OTHER)
    helped = await sandbox.wait_for(
        lambda: [one for one in sandbox.messages(OTHER, by_bot=True) if "How to use me" in one["text"]]
    )
    assert "up to 20 MB" in helped[0]["text"]


async def test_start_and_the_menu_of_commands(app: App, sandbox: Sandbox) -> None:
    await sandbox.send_text("/start")
    await sandbox.wait_for(lambda: "Здравствуйте" in sandbox.messages()[-1]["text"])
    await sandbox.wait_for(lambda: len(sandbox.calls_of("setMyCommands")) == 2)
    menus = [json.loads(call.params["commands"]) for call in sandbox.calls_of("setMyCommands")]
    for menu in menus:
        assert [entry["command"] for entry in menu] == MENU
    assert menus[0][0]["description"] == "Описать картинку, на которую вы отвечаете"
    assert menus[1][0]["description"] == "Describe the picture you answer"


async def test_commands_are_understood_in_any_case(app: App, sandbox: Sandbox) -> None:
    await sandbox.send_text("/START")
    await sandbox.wait_for(lambda: "Здравствуйте" in sandbox.messages()[-1]["text"])
    photo = await sandbox.send_photo(MEME, chat=GROUP)
    await sandbox.send_text("/Caption", chat=GROUP, reply_to=photo["message_id"])
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_start_asks_once_whether_pictures_may_be_kept(app: App, sandbox: Sandbox) -> None:
    await sandbox.send_text("/start")
    await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
    greeting = sandbox.messages(by_bot=True)[0]
    assert "Можно мне хранить ваши картинки" in greeting["text"]
    assert "ваши картинки не хранятся" in greeting["text"]
    assert labels(greeting) == ["Разрешить хранить мои картинки"]

    # Who does not answer is not asked again.
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert "хранить" not in str(answer)
    assert len(sandbox.messages(by_bot=True)) == 2

    sandbox.press(greeting["message_id"], data_of(greeting, "p:1"))

    def changed() -> bool:
        return labels(sandbox.messages(by_bot=True)[0]) == ["Не хранить мои картинки"]

    await sandbox.wait_for(changed)
    text = sandbox.messages(by_bot=True)[0]["text"]
    assert text.startswith("Здравствуйте")
    assert "вы разрешаете хранить ваши картинки" in text
    user = await app.store.people.find(ME)
    assert user is not None
    assert user.consent
    assert len(sandbox.messages(by_bot=True)) == 2

    # In a group it says only what it is: one person's choice is no matter for the others.
    await sandbox.send_text("/start@meme_describer_bot", chat=GROUP)
    await sandbox.wait_for(lambda: sandbox.messages(GROUP, by_bot=True))
    assert "reply_markup" not in sandbox.messages(GROUP, by_bot=True)[0]


# --- groups ---


async def test_in_a_group_only_what_addresses_the_bot_is_answered(app: App, sandbox: Sandbox) -> None:
    sandbox.world.privacy = False  # the bot sees everything, and must still keep quiet
    photo = await sandbox.send_photo(MEME, chat=GROUP)
    await sandbox.send_text("обычный разговор", chat=GROUP)
    await sandbox.send_text("/start", chat=GROUP)
    await sandbox.send_album([MEME, MEME], chat=GROUP)
    asked = await sandbox.send_text("/caption", chat=GROUP, user=OTHER, reply_to=photo["message_id"])
    answer = await reply_to(sandbox, photo)
    assert answer["text"].startswith("400 x")
    assert len(sandbox.messages(GROUP, by_bot=True)) == 1
    assert not replies_to(sandbox, asked)
    assert await app.store.people.find(ME) is None  # who only talks in a group is not written down
    assert await app.store.people.find(OTHER) is not None


@pytest.mark.parametrize("text", ["/caption@meme_describer_bot", "@meme_describer_bot что это?"])
async def test_a_picture_is_pointed_at_by_name(app: App, sandbox: Sandbox, text: str) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP)
    await sandbox.send_text(text, chat=GROUP, reply_to=photo["message_id"])
    assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_a_picture_with_the_command_or_the_name_under_it(app: App, sandbox: Sandbox) -> None:
    commanded = await sandbox.send_photo(MEME, chat=GROUP, caption="/caption@meme_describer_bot")
    named = await sandbox.send_photo(MEME, chat=GROUP, caption="глянь, @Meme_Describer_Bot")
    for message in (commanded, named):
        answer = await reply_to(sandbox, message)
        assert answer["text"].startswith("400 x")
    replied = await sandbox.send_photo(MEME, chat=GROUP, reply_to=answer["message_id"])
    assert (await reply_to(sandbox, replied))["text"].startswith("400 x")


async def test_a_command_for_another_bot_is_not_ours(app: App, sandbox: Sandbox) -> None:
    sandbox.world.privacy = False
    photo = await sandbox.send_photo(MEME, chat=GROUP)
    await sandbox.send_text("/caption@other_bot", chat=GROUP, reply_to=photo["message_id"])
    await sandbox.send_text("/caption", chat=GROUP)
    await sandbox.wait_for(lambda: sandbox.messages(GROUP, by_bot=True))
    assert [one["text"][:9] for one in sandbox.messages(GROUP, by_bot=True)] == ["Здесь нет"]


async def test_an_album_in_a_group_is_addressed_by_the_caption_of_one_picture(
    app: App, sandbox: Sandbox
) -> None:
    sandbox.world.privacy = False
    pictures = [picture(PLAIN, (40 + number, 30)) for number in range(3)]
    album = await sandbox.send_album(pictures, as_files=True, caption="@meme_describer_bot", chat=GROUP)
    await sandbox.wait_for(lambda: len(sandbox.messages(GROUP, by_bot=True)) == 3)
    said = sandbox.messages(GROUP, by_bot=True)
    assert [one["reply_to_message"]["message_id"] for one in said] == [one["message_id"] for one in album]


async def test_in_a_group_the_mean_of_all_marks_is_shown(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    answer = await reply_to(sandbox, photo)
    caption_id = caption_of(answer)
    sandbox.user(OTHER, first_name="Bob", language_code="en")
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"))
    await sandbox.wait_for(
        lambda: "Оценки: в среднем 5,0 из 5, 1 человек" in sandbox.messages(GROUP)[-1]["text"]
    )
    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:2"), user=OTHER)
    # The message stays in the language of whoever asked for it.
    await sandbox.wait_for(
        lambda: "Оценки: в среднем 3,5 из 5, 2 человека" in sandbox.messages(GROUP)[-1]["text"]
    )
    assert not any("✓" in label for label in labels(sandbox.messages(GROUP)[-1]))


async def test_a_correction_in_a_group_is_asked_of_the_one_who_pressed(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    answer = await reply_to(sandbox, photo)
    sandbox.user(OTHER, first_name="<Борис>", language_code="ru")
    sandbox.press(answer["message_id"], data_of(answer, "c:"), user=OTHER)
    prompt = await reply_to(sandbox, answer)
    assert prompt["text"].startswith("<Борис>, напишите")
    written = await sandbox.send_text("Кот", chat=GROUP, user=OTHER, reply_to=prompt["message_id"])
    assert "сохранено" in (await reply_to(sandbox, written))["text"]
    user = await app.store.people.find(OTHER)
    assert user is not None
    assert await app.store.marks.correction(user.id, caption_of(answer)) == "Кот"


async def test_caption_asked_again_shows_the_caption_again_and_retries_a_failure(
    app: App, sandbox: Sandbox
) -> None:
    photo = await sandbox.send_photo(MEME)
    first = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    await sandbox.send_text("/caption", reply_to=photo["message_id"])
    await sandbox.wait_for(lambda: len(replies_to(sandbox, photo)) == 2)
    assert replies_to(sandbox, photo)[1]["text"] == first["text"]

    poison = await sandbox.send_document(picture(POISON), "poison.png")
    assert "пробовал дважды" in (await reply_to(sandbox, poison))["text"]

    await until(lambda: settled(app))
    await sandbox.send_text("/caption", reply_to=poison["message_id"])
    await sandbox.wait_for(lambda: len(replies_to(sandbox, poison)) == 2)


# --- privacy and the operator ---


async def test_pictures_are_kept_only_with_consent_and_everything_is_erased(
    app: App, sandbox: Sandbox
) -> None:
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    assert not list(app.settings.data_dir.rglob("*.jpg"))

    page = await reply_to(sandbox, await sandbox.send_text("/privacy"))
    assert "ваши картинки не хранятся" in page["text"]
    sandbox.press(page["message_id"], data_of(page, "p:1"))
    await sandbox.wait_for(lambda: "вы разрешаете хранить" in sandbox.messages()[-1]["text"])
    # Described before, but only now may it be kept.
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert len(list(app.settings.data_dir.rglob("*.jpg"))) == 1

    sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:5"))
    await until(lambda: app.store.marks.mean_rating(caption_id))
    await sandbox.wait_for(lambda: any("Ваша оценка" in one["text"] for one in sandbox.messages(by_bot=True)))
    said = await forget(sandbox)
    assert "картинок: 1, оценок: 1, исправлений: 0" in said["text"]
    assert await app.store.captions.get(caption_id) is None
    assert not list(app.settings.data_dir.rglob("*.jpg"))

    # Buttons under old messages say that there is nothing behind them any more.
    for data in (f"r:{caption_id}:3", f"c:{caption_id}", f"v:{caption_id}"):
        pressed = sandbox.press(answer["message_id"], data_of(answer, data))
        assert "Пришлите" in (await answer_to(sandbox, pressed))["text"]


async def test_forgetting_stops_the_work_in_flight(app: App, sandbox: Sandbox) -> None:
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: gate.arrived)
    await forget(sandbox)
    gate.release()
    assert app.captioning.unfinished == 0
    assert not replies_to(sandbox, photo)


async def test_only_the_operator_exports(app: App, sandbox: Sandbox) -> None:
    await sandbox.send_text("/export")
    await sandbox.wait_for(lambda: "такой команды" in sandbox.messages()[-1]["text"])

    sandbox.user(ADMIN, first_name="Admin", language_code="ru")
    asked = await sandbox.send_text("/export", user=ADMIN)
    await sandbox.wait_for(lambda: any("нечего" in one["text"] for one in replies_to(sandbox, asked)))

    page = await reply_to(sandbox, await sandbox.send_text("/privacy"))
    sandbox.press(page["message_id"], data_of(page, "p:1"))
    await sandbox.wait_for(lambda: "вы разрешаете хранить" in sandbox.messages()[-1]["text"])
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    sandbox.press(answer["message_id"], data_of(answer, "r:"))
    await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])

    wrong = await sandbox.send_text("/export everything", user=ADMIN)
    assert "imagefolder, csv или parquet" in (await reply_to(sandbox, wrong))["text"]
    await sandbox.send_text("/export imagefolder 2020-01-31 1", user=ADMIN)
    document = (
        await sandbox.wait_for(
            lambda: [one["document"] for one in sandbox.messages(ADMIN, by_bot=True) if "document" in one]
        )
    )[0]
    with zipfile.ZipFile(io.BytesIO(sandbox.file_bytes(document["file_id"]))) as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        assert [row["rating"] for row in rows] == [1]
        assert rows[0]["file_name"] in archive.namelist()
    await sandbox.send_text("/stats", user=ADMIN)
    await sandbox.wait_for(lambda: "Статистика" in sandbox.messages(ADMIN)[-1].get("text", ""))
    said = sandbox.messages(ADMIN)[-1]["text"]
    assert "Людей: 2 (пользуются: 2, разрешили хранить картинки: 1)" in said
    assert "Описаний: 1; исправлений: 0;" in said
    assert "Оценок: 1, от людей: 1; средняя 1,00 из 5" in said
    for person, told in ((ADMIN, True), (ME, False)):
        await sandbox.send_text("/help", user=person)
        help_ = await sandbox.wait_for(partial(last_words, sandbox, person, "Команды"))
        assert ("/stats" in help_) is told


def last_words(sandbox: Sandbox, chat: int, among: str) -> str | None:
    """The last message of a chat, once these words are among them."""
    text: str = sandbox.messages(chat)[-1].get("text", "")
    return text if among in text else None


def documents(sandbox: Sandbox, chat: int) -> list[Json]:
    return [one["document"] for one in sandbox.messages(chat, by_bot=True) if "document" in one]


@pytest.mark.parametrize(
    "command",
    ["/export@meme_describer_bot", "/export@meme_describer_bot csv", "/stats@meme_describer_bot"],
)
async def test_in_a_group_the_operator_is_answered_in_private(
    app: App, sandbox: Sandbox, command: str
) -> None:
    sandbox.user(ADMIN, first_name="Admin", language_code="ru")
    await sandbox.send_text("/start", user=ADMIN)
    await sandbox.wait_for(lambda: sandbox.messages(ADMIN, by_bot=True))
    photo = await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    described = await reply_to(sandbox, photo)
    sandbox.press(described["message_id"], data_of(described, "r:"), chat=GROUP)
    await sandbox.wait_for(lambda: sandbox.calls_of("editMessageText"))

    asked = await sandbox.send_text(command, user=ADMIN, chat=GROUP)
    (line,) = await sandbox.wait_for(lambda: replies_to(sandbox, asked))
    assert line["text"] == "Ответ – в личных сообщениях."
    if command.startswith("/export"):
        await sandbox.wait_for(lambda: "Строк: 1" in str(sandbox.messages(ADMIN, by_bot=True)))
        assert len(documents(sandbox, ADMIN)) == 1
    else:
        assert "Статистика" in sandbox.messages(ADMIN, by_bot=True)[-1]["text"]
    assert not documents(sandbox, GROUP)
    assert len(replies_to(sandbox, asked)) == 1
    assert "Статистика" not in str(sandbox.messages(GROUP)) and "Строк" not in str(sandbox.messages(GROUP))


@pytest.mark.parametrize("command", ["/export@meme_describer_bot", "/stats@meme_describer_bot"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "forbidden"},
        {"kind": "bad_request", "description": "Bad Request: chat not found"},
    ],
    ids=["forbidden", "no chat"],
)
async def test_an_operator_who_never_started_the_bot_is_told_so_in_one_line(
    app: App, sandbox: Sandbox, command: str, fault: Json
) -> None:
    sandbox.user(ADMIN, first_name="Admin", language_code="ru")
    sandbox.fail("sendMessage", **fault)
    asked = await sandbox.send_text(command, user=ADMIN, chat=GROUP)
    line = await reply_to(sandbox, asked)
    assert "откройте @meme_describer_bot, нажмите «Начать» и повторите" in line["text"]
    assert len(replies_to(sandbox, asked)) == 1
    assert not sandbox.messages(ADMIN, by_bot=True)
    assert not sandbox.calls_of("sendDocument")


async def test_a_stranger_learns_nothing_from_the_operators_commands_in_a_group(
    app: App, sandbox: Sandbox
) -> None:
    for command in ("/export@meme_describer_bot", "/stats@meme_describer_bot"):
        await sandbox.send_text(command, chat=GROUP)
    await reply_to(sandbox, await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot"))
    said = str(sandbox.messages(GROUP, by_bot=True)) + str(sandbox.messages(ME, by_bot=True))
    assert "личных сообщениях" not in said and "Статистика" not in said


async def test_an_archive_asked_for_fifteen_times_is_made_once(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    used = settings()
    async with working(used, sandbox):
        sandbox.user(ADMIN, first_name="Admin", language_code="ru")
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        sandbox.press(answer["message_id"], data_of(answer, "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])
        gate = sandbox.hold("sendDocument")
        first = await sandbox.send_text("/export", user=ADMIN)
        await sandbox.wait_for(lambda: gate.arrived)
        others = [await sandbox.send_text("/export csv", user=ADMIN) for _ in range(14)]
        for asked in others:
            assert "уже собирается" in (await reply_to(sandbox, asked))["text"]
        assert {path.name for path in (used.data_dir / "export").iterdir()} == {"export", "parts"}
        gate.release()
        await sandbox.wait_for(lambda: any("Строк: 1" in one["text"] for one in replies_to(sandbox, first)))
        assert len(sandbox.calls_of("sendDocument")) == 1
        await until(lambda: gone(used.data_dir / "export"))
        again = await sandbox.send_text("/export parquet", user=ADMIN)
        await sandbox.wait_for(lambda: any("Строк: 1" in one["text"] for one in replies_to(sandbox, again)))
        await until(lambda: gone(used.data_dir / "export"))


async def gone(path: Path) -> bool:
    return not await asyncio.to_thread(path.exists)


# --- limits ---


async def test_who_writes_too_fast_is_told_once(app: App, sandbox: Sandbox) -> None:
    for _ in range(40):
        await sandbox.send_text("привет")
    photo = await sandbox.send_photo(MEME)  # pictures are never throttled
    await reply_to(sandbox, photo)
    said = [one["text"] for one in sandbox.messages(by_bot=True)]
    assert sum("слишком много сообщений" in text for text in said) == 1
    assert 20 <= sum("Я описываю картинки" in text for text in said) < 40
