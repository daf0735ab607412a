"""The stand-in brought by the bot itself when it has no token, and the stand-in alone."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, expect

from bot.sandbox import Sandbox
from tests.drawing import draw_meme, jpeg_bytes
from tests.e2e.fakes import TEXT
from tests.e2e.page import WAIT, ChatPage
from tests.e2e.processes import BotProcess, fake_settings
from tests.e2e.test_survival import until


async def test_one_command_and_a_browser(sandbox: Sandbox, browser: Browser, tmp_path: Path) -> None:
    settings = fake_settings(tmp_path) | {
        "BOT_TOKEN": "",
        "BOT_API_URL": "",
        "ADMIN_IDS": "",
        "SANDBOX_PORT": "0",
    }
    bot = BotProcess(sandbox, tmp_path, settings)
    process = await bot.launch()
    try:
        found = await until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", bot.log()))
        port = int(found[1])
        here = Sandbox(port=port)  # never started: it only knows the address
        person = await browser.new_context()
        chat = ChatPage(await person.new_page(), here)
        await chat.open()
        await chat.attach(("meme.jpg", "image/jpeg", jpeg_bytes(draw_meme("caption_bar", width=400))))
        await expect(chat.replies.last).to_contain_text(TEXT, timeout=WAIT)
        # Whoever has the page is the operator: there is nobody else.
        await chat.replies.last.get_by_role("button", name=re.compile("4 ★")).click()
        await expect(chat.replies.last).to_contain_text("Ваша оценка: 4 из 5", timeout=WAIT)
        await chat.write("/export")
        await expect(chat.page.get_by_role("link", name=re.compile("Скачать файл"))).to_be_visible(
            timeout=WAIT
        )
        await person.close()
        assert chat.errors == []
        assert await bot.stop() == 0
    finally:
        if process.returncode is None:
            await bot.kill()
    # Nothing listens any more.
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return
    writer.close()
    raise AssertionError("the port is still open")


async def test_the_stand_in_alone_for_any_bot(sandbox: Sandbox, tmp_path: Path) -> None:
    environment = BotProcess(sandbox, tmp_path, {}).environment
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "sandbox",
        "--port",
        "0",
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        printed = b""
        async with asyncio.timeout(120):
            while b"BOT_TOKEN=" not in printed:
                line = await process.stdout.readline()
                assert line, printed
                printed += line
        found = re.search(r"BOT_API_URL=(\S+) BOT_TOKEN=(\S+)", printed.decode())
        assert found
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{found[1]}/bot{found[2]}/getMe") as answer,
        ):
            assert (await answer.json())["result"]["is_bot"]
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
