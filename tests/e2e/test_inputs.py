"""Whatever people send gets exactly one clear answer, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from bot.sandbox import Sandbox
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
from tests.e2e.fakes import TEXT
from tests.e2e.processes import BotProcess, fake_settings, running
from tests.e2e.test_survival import answers

MEME = draw_meme("caption_bar", width=400)
JPEG = jpeg_bytes(MEME)
FRAMES = [draw_meme("photo", width=240, mood=mood) for mood in ("awake", "sleepy")]
UPRIGHT = f"Размер {MEME.width} на {MEME.height}."

Send = Callable[[Sandbox, int], Awaitable[Json]]
people = itertools.count(100)  # somebody new for every message: nobody is told to slow down


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Sandbox, BotProcess]]:
    """One stand-in and one bot for all inputs: whatever comes, they live on."""
    folder = tmp_path_factory.mktemp("inputs")
    async with Sandbox() as sandbox, running(sandbox, folder, fake_settings(folder)) as bot:
        yield sandbox, bot


async def answered(sandbox: Sandbox, sent: Json) -> str:
    """The one answer to a message; a later message that is answered proves that there is no second."""
    await sandbox.wait_for(lambda: answers(sandbox, sent), 120)
    chat = sent["chat"]["id"]
    before = len(sandbox.messages(chat, by_bot=True))
    await sandbox.send_text("/help@meme_describer_bot", chat=chat, user=sent["from"]["id"])
    await sandbox.wait_for(lambda: len(sandbox.messages(chat, by_bot=True)) > before, 120)
    (answer,) = answers(sandbox, sent)
    return str(answer["text"])


PICTURES: dict[str, tuple[Send, str]] = {
    "photo": (lambda s, who: s.send_photo(JPEG, user=who), UPRIGHT),
    "photo that lay on its side": (lambda s, who: s.send_photo(rotated_jpeg_bytes(MEME), user=who), UPRIGHT),
    "file that lies on its side": (
        lambda s, who: s.send_document(rotated_jpeg_bytes(MEME), "a.jpg", user=who),
        UPRIGHT,
    ),
    "file without a type": (
        lambda s, who: s.send_document(JPEG, "картинка", "application/octet-stream", user=who),
        UPRIGHT,
    ),
    "CMYK": (lambda s, who: s.send_document(cmyk(), "a.jpg", user=who), UPRIGHT),
    "16 bits": (
        lambda s, who: s.send_document(png_bytes(Image.new("I;16", (60, 40), 40_000)), "a.png", user=who),
        "60 на 40",
    ),
    "palette": (lambda s, who: s.send_document(png_bytes(MEME.convert("P")), "a.png", user=who), UPRIGHT),
    "transparency": (
        lambda s, who: s.send_document(png_bytes(MEME.convert("RGBA")), "a.png", user=who),
        UPRIGHT,
    ),
    "static sticker": (lambda s, who: s.send_sticker(webp_bytes(FRAMES[0]), user=who), "240 на 180"),
    "no words": (
        lambda s, who: s.send_photo(jpeg_bytes(draw_meme("photo", width=400)), user=who),
        "400 на 300",
    ),
    "words only": (
        lambda s, who: s.send_photo(jpeg_bytes(draw_meme("text_only", width=400)), user=who),
        "400 на 300",
    ),
    "animated GIF as a file": (
        lambda s, who: s.send_document(gif_bytes(FRAMES), "a.gif", user=who),
        "240 на 180",
    ),
    "forwarded": (
        lambda s, who: s.send_photo(
            JPEG,
            forward_origin={"type": "hidden_user", "sender_user_name": "Кто-то", "date": 1_700_000_000},
            user=who,
        ),
        UPRIGHT,
    ),
    "with a caption of its own": (
        lambda s, who: s.send_photo(JPEG, caption="<b>гляньте</b>", user=who),
        UPRIGHT,
    ),
    "one pixel": (
        lambda s, who: s.send_document(png_bytes(Image.new("RGB", (1, 1))), "a.png", user=who),
        "1 на 1",
    ),
    "very wide": (
        lambda s, who: s.send_document(png_bytes(Image.new("RGB", (4000, 8))), "a.png", user=who),
        "4000 на 8",
    ),
}

REFUSALS: dict[str, tuple[Send, str]] = {
    "text named .jpg": (
        lambda s, who: s.send_document(b"hello, this is text", "a.jpg", user=who),
        "нет картинки",
    ),
    "truncated JPEG": (
        lambda s, who: s.send_document(JPEG[: len(JPEG) // 2], "a.jpg", user=who),
        "повреждена",
    ),
    "empty file": (lambda s, who: s.send_document(b"", "a.jpg", user=who), "пустой"),
    "decompression bomb": (
        lambda s, who: s.send_document(bomb_png_bytes(), "a.png", user=who),
        "слишком много точек",
    ),
    "animation": (lambda s, who: s.send_animation(gif_bytes(FRAMES), "a.gif", user=who), "анимации"),
    "video": (lambda s, who: s.send_video(b"\0\0\0\x18ftypmp42", user=who), "видео"),
    "voice": (lambda s, who: s.send_voice(b"OggS", user=who), "слушать"),
    "moving sticker": (
        lambda s, who: s.send_sticker(b"\x1f\x8b", animated=True, user=who),
        "движущиеся стикеры",
    ),
    "video sticker": (lambda s, who: s.send_sticker(b"\x1aE", video=True, user=who), "движущиеся стикеры"),
    "25 MB": (
        lambda s, who: s.send_document(b"\xff\xd8" + b"\0" * 25 * 1024 * 1024, "a.jpg", user=who),
        "слишком большой",
    ),
    "PDF": (lambda s, who: s.send_document(b"%PDF-1.7", "a.pdf", user=who), "не картинка"),
    "place": (
        lambda s, who: s.send_raw({"location": {"latitude": 1.0, "longitude": 2.0}}, user=who),
        "Пришлите картинку",
    ),
    "dice": (lambda s, who: s.send_raw({"dice": {"emoji": "🎲", "value": 3}}, user=who), "Пришлите картинку"),
    "words": (lambda s, who: s.send_text("опиши мне что-нибудь", user=who), "Пришлите картинку"),
    "an unknown command": (lambda s, who: s.send_text("/nonsense", user=who), "не знаю такой команды"),
}


def cmyk() -> bytes:
    """A JPEG in the four colours of print."""
    from io import BytesIO

    buffer = BytesIO()
    MEME.convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", PICTURES)
async def test_pictures_of_every_kind_are_described(shared: tuple[Sandbox, BotProcess], name: str) -> None:
    sandbox, _ = shared
    send, part = PICTURES[name]
    text = await answered(sandbox, await send(sandbox, next(people)))
    assert text.startswith(TEXT)
    assert part in text


@pytest.mark.parametrize("name", REFUSALS)
async def test_everything_else_gets_one_sentence_that_says_what_to_do(
    shared: tuple[Sandbox, BotProcess], name: str
) -> None:
    sandbox, _ = shared
    send, part = REFUSALS[name]
    text = await answered(sandbox, await send(sandbox, next(people)))
    assert part in text
    assert TEXT not in text
    assert len(text) < 200


async def test_a_file_whose_size_telegram_does_not_tell(shared: tuple[Sandbox, BotProcess]) -> None:
    sandbox, _ = shared
    stored = sandbox.world.store(
        b"\xff\xd8" + b"\0" * 21 * 1024 * 1024, "documents", ".jpg", "image/jpeg", "a.jpg"
    )
    document = sandbox.world.file_object(stored, file_name="a.jpg", mime_type="image/jpeg")
    del document["file_size"]
    sent = await sandbox.send_raw({"document": document}, user=next(people))
    assert "слишком большой" in await answered(sandbox, sent)


async def test_an_album_of_pictures_and_of_files(shared: tuple[Sandbox, BotProcess]) -> None:
    sandbox, _ = shared
    pictures = [jpeg_bytes(draw_meme("photo", width=210 + number)) for number in range(4)]
    album = await sandbox.send_album(pictures, caption="четыре", user=next(people))
    files = await sandbox.send_album(pictures[:2], as_files=True, user=next(people))
    for number, message in enumerate(album):
        assert f"Размер {210 + number} на" in await answered(sandbox, message)
    for number, message in enumerate(files):
        assert f"Размер {210 + number} на" in await answered(sandbox, message)


async def test_in_a_group_only_who_asks_is_answered(shared: tuple[Sandbox, BotProcess]) -> None:
    sandbox, _ = shared
    picture = await sandbox.send_photo(JPEG, chat=GROUP, user=42)
    await sandbox.send_text("смешно", chat=GROUP, user=43)
    await sandbox.send_text("/caption", chat=GROUP, user=43, reply_to=picture["message_id"])
    assert TEXT in await answered(sandbox, picture)
    empty = await sandbox.send_text("/caption", chat=GROUP, user=43)
    assert "нет картинки" in await answered(sandbox, empty)


async def test_the_same_bot_is_still_there(shared: tuple[Sandbox, BotProcess], tmp_path: Path) -> None:
    _, bot = shared
    assert bot.process is not None
    assert bot.process.returncode is None
    assert "Traceback" not in bot.log()
