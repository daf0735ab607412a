"""What a person does at the chat page, in a real browser, with the real bot behind it."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from bot.sandbox import Sandbox
from bot.sandbox.scene import GROUP
from tests.drawing import KINDS, draw_meme, gif_bytes, jpeg_bytes, png_bytes
from tests.e2e.fakes import TEXT, WORDS
from tests.e2e.page import WAIT, ChatPage, chat_page
from tests.e2e.processes import BotProcess

MEME = ("meme.jpg", "image/jpeg", jpeg_bytes(draw_meme("caption_bar", width=480)))
OTHER = ("other.jpg", "image/jpeg", jpeg_bytes(draw_meme("two_frames", width=480)))
EVIL = "<img src=x onerror=\"document.title='взломано'\"><script>document.title='взломано'</script>"


def rows(bot: BotProcess, query: str) -> list[tuple[Any, ...]]:
    """What the bot's database holds, read beside it."""
    with sqlite3.connect(f"file:{bot.folder}/bot.db?mode=ro", uri=True) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def metadata(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]


async def test_a_meme_goes_in_and_a_rated_and_corrected_row_comes_out(
    chat: ChatPage, bot: BotProcess, tmp_path: Path
) -> None:
    await chat.page.get_by_role("button", name="Запустить").click()
    await expect(chat.replies).to_have_count(1, timeout=WAIT)

    # The greeting asks whether pictures may be kept; otherwise the export may not hold this one.
    await chat.replies.last.get_by_role("button", name="Разрешить").click(timeout=WAIT)
    await expect(chat.replies.last).to_contain_text("разрешаете", timeout=WAIT)

    await chat.attach(MEME)
    reply = chat.replies.nth(1)
    await expect(reply).to_contain_text(TEXT, timeout=WAIT)
    for part in ("Слова на картинке:", *WORDS):
        await expect(reply).to_contain_text(part)
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await reply.get_by_role("button", name="Скопировать слова").click()
    await expect(chat.page.get_by_text("Скопировано")).to_be_visible()
    assert await chat.page.evaluate("navigator.clipboard.readText()") == "\n".join(WORDS)

    await reply.get_by_role("button", name="4 ★★★★ хорошо").click()
    await expect(reply).to_contain_text("Ваша оценка: 4 из 5", timeout=WAIT)
    assert rows(bot, "select mark from ratings") == [(4,)]

    await reply.get_by_role("button", name="2 ★★ слабо").click()
    await expect(reply).to_contain_text("Ваша оценка: 2 из 5", timeout=WAIT)
    await expect(reply).not_to_contain_text("4 из 5")
    assert rows(bot, "select mark from ratings") == [(2,)]

    await bot.command("export", "--out", str(tmp_path / "before"))
    (row,) = metadata(tmp_path / "before")
    assert row["rating"] == 2
    assert TEXT in row["text"]
    assert (tmp_path / "before" / row["file_name"]).stat().st_size > 10_000

    # "Исправить" opens the answer by itself: the cursor is where the correction is written.
    await reply.get_by_role("button", name="Исправить").click()
    await expect(chat.text).to_be_focused(timeout=WAIT)
    await expect(chat.page.locator("#replying-name")).to_contain_text("В ответ")
    # The bar about the answer took room: the conversation moved up with it.
    below = "scroll => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight"
    assert await chat.page.locator("#scroll").evaluate(below) < 2
    await chat.write("Рыжий кот никуда не ляжет.")
    await expect(chat.replies.last).to_contain_text("сохранено", timeout=WAIT)
    await expect(chat.page.locator("#replying")).to_be_hidden()

    await bot.command("export", "--out", str(tmp_path / "after"))
    (row,) = metadata(tmp_path / "after")
    assert (row["text"], row["rating"]) == ("Рыжий кот никуда не ляжет.", 2)

    # The operator gets the same in the chat, as a file that can be saved.
    await chat.write("/export")
    link = chat.page.get_by_role("link", name=re.compile(r"Скачать файл .*\.zip"))
    await expect(link).to_be_visible(timeout=WAIT)
    async with chat.page.expect_download() as download:
        await link.click()
    await (await download.value).save_as(tmp_path / "feedback.zip")
    archive = zipfile.ZipFile(tmp_path / "feedback.zip")
    (name,) = [name for name in archive.namelist() if name.endswith("metadata.jsonl")]
    assert json.loads(archive.read(name))["text"] == "Рыжий кот никуда не ляжет."


async def test_whatever_anybody_writes_is_shown_and_never_run(chat: ChatPage, sandbox: Sandbox) -> None:
    await chat.write(EVIL)
    await expect(chat.messages.first).to_contain_text(EVIL)
    await chat.attach((f"{EVIL.replace('/', '')}.txt", "text/html", b"<script>1</script>"))
    await expect(chat.page.get_by_role("link", name=re.compile("Скачать файл <img"))).to_be_visible(
        timeout=WAIT
    )
    sandbox.user(first_name=EVIL)
    await sandbox.send_text(
        "моё",
        forward_origin={"type": "hidden_user", "sender_user_name": EVIL, "date": 0},
        reply_to=sandbox.messages()[0]["message_id"],
    )
    await expect(chat.page.get_by_text("Переслано")).to_contain_text(EVIL)
    await chat.attach(MEME)
    await expect(chat.replies.last).to_contain_text(WORDS[1], timeout=WAIT)  # markup read from the picture
    assert await chat.page.title() == "Описатель мемов: песочница"
    assert await chat.page.locator("#chat script, #chat [onerror], #chat img[src=x]").count() == 0
    await chat.page.reload()  # the state is drawn by the same rules as the events
    await expect(chat.messages.first).to_contain_text(EVIL)
    assert await chat.page.title() == "Описатель мемов: песочница"


async def test_dropped_pasted_and_chosen_pictures(chat: ChatPage, sandbox: Sandbox) -> None:
    send = chat.page.get_by_role("button", name="Отправить", exact=True)
    await chat.give("paste", MEME)
    await expect(
        chat.page.get_by_role("list", name="Приложенные файлы").get_by_role("listitem")
    ).to_have_count(1)
    await send.click()
    await expect(chat.replies).to_have_count(1, timeout=WAIT)
    await chat.give("drop", MEME, OTHER)
    await chat.page.get_by_role("button", name="Убрать meme.jpg").click()
    await chat.text.fill("подпись")
    await send.click()
    await expect(chat.replies).to_have_count(2, timeout=WAIT)
    await chat.attach(OTHER, as_file=True)
    await expect(chat.replies).to_have_count(3, timeout=WAIT)
    sent = sandbox.messages(by_bot=False)
    assert ["photo" in message for message in sent] == [True, True, False]
    assert sent[1]["caption"] == "подпись"
    assert sent[2]["document"]["file_name"] == "other.jpg"


async def test_an_album_is_one_message_and_every_picture_is_answered(
    chat: ChatPage, sandbox: Sandbox
) -> None:
    await chat.attach(
        *((f"{kind}.jpg", "image/jpeg", jpeg_bytes(draw_meme(kind, width=300))) for kind in KINDS)
    )
    await expect(chat.replies).to_have_count(len(KINDS), timeout=WAIT)
    await expect(chat.messages.first.get_by_role("img")).to_have_count(len(KINDS))
    for number in range(len(KINDS)):  # heard alone, each reply says which picture it is about
        name = f"Картинка {number + 1} из {len(KINDS)}"
        await expect(chat.messages.first.get_by_role("img").nth(number)).to_have_attribute("alt", name)
        await expect(
            chat.replies.nth(number).get_by_role("button", name=f"В ответ на: {name}")
        ).to_be_visible()
    answered = [message["reply_to_message"]["message_id"] for message in sandbox.messages(by_bot=True)]
    assert answered == [message["message_id"] for message in sandbox.messages(by_bot=False)]


async def test_the_keyboard_is_enough(chat: ChatPage) -> None:
    await chat.text.focus()
    await chat.page.keyboard.type("/he")
    hint = chat.page.get_by_role("option").filter(has_text="/help")
    await expect(hint).to_have_attribute("aria-selected", "true")
    await expect(chat.text).to_have_attribute("aria-expanded", "true")
    await chat.page.keyboard.press("Enter")
    await expect(chat.replies).to_have_count(1, timeout=WAIT)
    await expect(chat.text).to_have_value("")

    await chat.attach(MEME)
    star = chat.replies.last.get_by_role("button", name=re.compile("5 ★"))
    await expect(star).to_be_visible(timeout=WAIT)
    await star.focus()
    await chat.page.keyboard.press("Enter")
    await expect(chat.replies.last).to_contain_text("Ваша оценка: 5 из 5", timeout=WAIT)
    # The message was drawn anew under the finger; the focus is where it was, and can be seen.
    await expect(star).to_be_focused()
    assert await star.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"

    await chat.text.focus()
    await chat.page.keyboard.type("раз")
    await chat.page.keyboard.press("Shift+Enter")
    await chat.page.keyboard.type("два")
    await expect(chat.text).to_have_value("раз\nдва")


async def test_typing_is_shown_while_the_bot_works(chat: ChatPage, bot: BotProcess) -> None:
    bot.gate.touch()
    await chat.attach(MEME)
    await expect(chat.page.get_by_text("Описатель мемов печатает…")).to_be_visible(timeout=WAIT)
    bot.gate.unlink()
    await expect(chat.replies.last).to_contain_text(TEXT, timeout=WAIT)
    await expect(chat.page.get_by_text("Описатель мемов печатает…")).to_be_hidden()


async def test_another_language(chat: ChatPage) -> None:
    await chat.page.get_by_label("Язык Telegram").select_option("en")
    await chat.attach(MEME)
    await expect(chat.replies.last).to_contain_text("Words on the picture:", timeout=WAIT)
    await chat.text.fill("/")
    await expect(chat.page.get_by_role("option", name=re.compile("How to use me"))).to_be_visible(
        timeout=WAIT
    )


async def test_what_is_written_before_the_page_knows_its_chats_is_sent(chat: ChatPage) -> None:
    """On a slow connection, or by whoever types at once: it goes to the private chat."""
    known = asyncio.Event()

    async def later(route: Route) -> None:
        await known.wait()
        await route.continue_()

    await chat.page.route("**/api/state", later)
    await chat.page.reload()
    async with chat.page.expect_response("**/api/messages") as sent:
        await chat.write("/help")
    assert (await sent.value).ok
    known.set()
    await expect(chat.replies.last).to_contain_text("/model", timeout=WAIT)


async def test_caption_in_a_group(chat: ChatPage, sandbox: Sandbox) -> None:
    picture = await sandbox.send_photo(MEME[2], chat=GROUP, user=42)
    await chat.page.get_by_role("button", name="Мемы нашего двора").click()
    await chat.messages.first.hover()
    await chat.messages.first.get_by_role("button", name=re.compile("Ответить")).click()
    await chat.page.keyboard.type("/cap")
    await chat.page.keyboard.press("Enter")
    await expect(chat.replies.last).to_contain_text(TEXT, timeout=WAIT)
    assert sandbox.messages(GROUP)[1]["text"] == "/caption@meme_describer_bot"
    assert sandbox.messages(GROUP)[2]["reply_to_message"]["message_id"] == picture["message_id"]


async def test_a_written_correction_can_be_edited(chat: ChatPage, bot: BotProcess) -> None:
    await chat.attach(MEME)
    await chat.replies.last.get_by_role("button", name="Исправить").click(timeout=WAIT)
    await expect(chat.text).to_be_focused(timeout=WAIT)
    await chat.write("с ошипкой")
    await expect(chat.replies.last).to_contain_text("сохранено", timeout=WAIT)
    own = chat.page.locator(".message.own").last
    await own.hover()
    await own.get_by_role("button", name=re.compile("Изменить сообщение")).click()
    await chat.write("без ошибки")
    await expect(own).to_contain_text("без ошибки")
    await expect(own).to_contain_text("изменено")
    await expect(chat.replies.last).to_contain_text("изменено", timeout=WAIT)
    await bot.command("export", "--out", str(bot.folder / "out"), "--format", "csv")
    assert "без ошибки" in (bot.folder / "out" / "feedback.csv").read_text("utf-8")


async def test_page_and_bot_find_their_way_back_to_a_restarted_server(
    chat: ChatPage, sandbox: Sandbox
) -> None:
    await chat.write("до обрыва")
    await expect(chat.replies).to_have_count(1, timeout=WAIT)
    await sandbox.stop()
    await expect(chat.page.locator("#status")).to_contain_text("нет связи")
    async with Sandbox(port=sandbox.port, token=sandbox.token):
        await expect(chat.page.locator("#status")).to_have_text("бот на связи", timeout=WAIT)
        await expect(chat.messages).to_have_count(0)  # the new server remembers nothing
        await chat.write("после обрыва")
        await expect(chat.replies).to_have_count(1, timeout=WAIT)
    # The browser tells of the connections that it lost: that is no fault of the page.
    chat.errors[:] = [error for error in chat.errors if "ERR_" not in error]


async def test_other_kinds_of_files_are_shown(chat: ChatPage) -> None:
    frames = [draw_meme("photo", width=200, mood=mood) for mood in ("awake", "sleepy")]
    await chat.attach(("cat.gif", "image/gif", gif_bytes(frames)))
    await expect(chat.messages.first.get_by_role("img", name="Анимация")).to_be_visible(timeout=WAIT)
    await expect(chat.replies).to_have_count(1, timeout=WAIT)
    await chat.attach(("notes.txt", "text/plain", "текст".encode()))
    await expect(chat.page.get_by_role("link", name="Скачать файл notes.txt")).to_be_visible(timeout=WAIT)
    await chat.attach(
        ("huge.png", "image/png", png_bytes(draw_meme("photo", width=300).resize((6000, 5000))))
    )
    await expect(chat.messages.last).to_contain_text(TEXT, timeout=WAIT)


CONTRAST = """() => {
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const parse = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => (part * a + below[i] * (255 - a)) / 255);
    const ground = (element) => {
        const layers = [];
        let [at, opaque] = [element, null];
        for (; at && !opaque; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) opaque = colour.slice(0, 3);
            else layers.push(colour);
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), opaque || [255, 255, 255]);
    };
    const light = (colour) => {
        const parts = colour.map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const weak = [];
    for (const element of document.querySelectorAll("body *")) {
        const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!words || !element.checkVisibility() || element.closest("noscript, .skip, .hidden")) continue;
        const behind = ground(element);
        const [one, two] = [light(over(parse(getComputedStyle(element).color), behind)), light(behind)];
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (ratio < 4.5) weak.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
    }
    return weak;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_can_be_read_in_both_colours_and_on_a_phone(
    bot: BotProcess, browser: Browser, sandbox: Sandbox, scheme: str
) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 360, "height": 740},
        "color_scheme": scheme,
        "has_touch": True,
    }
    async with chat_page(browser, sandbox, **phone) as chat:
        await chat.open()
        assert await chat.page.evaluate(CONTRAST) == []
        await chat.write("/help")
        await expect(chat.replies).to_have_count(1, timeout=WAIT)
        await chat.attach(("договор.pdf", "application/pdf", b"%PDF"))
        await expect(chat.replies).to_have_count(2, timeout=WAIT)
        await chat.attach(MEME)
        await chat.replies.last.get_by_role("button", name="3 ★★★ средне").click(timeout=WAIT)
        await expect(chat.replies.last).to_contain_text("3 из 5", timeout=WAIT)
        assert await chat.page.evaluate(CONTRAST) == []
        assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        scroll = "element => element.scrollWidth <= element.clientWidth"
        assert await chat.page.locator("#scroll").evaluate(scroll)
        for button in await chat.replies.last.get_by_role("button").all():
            box = await button.bounding_box()
            assert box is not None
            assert box["height"] >= 40
            assert box["x"] + box["width"] <= 360
        assert chat.errors == []
