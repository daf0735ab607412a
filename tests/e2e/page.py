"""The chat page in Debian's chromium, and what a person does there, by the names a screen reader says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from playwright.async_api import Browser, FilePayload, Locator, Page, async_playwright, expect

from bot.sandbox import Sandbox
from tests.e2e.processes import CHROMIUM, CHROMIUM_ARGUMENTS

WAIT = 120_000  # ms for the bot to answer, on a machine that is busy with something else too
expect.set_options(timeout=30_000)  # ms for the page by itself


class ChatPage:
    """A person at the page. `errors` holds what the page complained of: it must stay empty."""

    def __init__(self, page: Page, sandbox: Sandbox) -> None:
        self.page = page
        self.sandbox = sandbox
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda told: self.errors.append(told.text) if told.type == "error" else None)
        # Nothing but the stand-in is ever asked for anything.
        page.on("request", lambda asked: self._own(asked.url))

    def _own(self, url: str) -> None:
        if not url.startswith((self.sandbox.url, "blob:", "data:")):
            self.errors.append(f"the page asked for {url}")

    async def open(self) -> None:
        await self.page.goto(self.sandbox.url + "/")
        await expect(self.page.locator("#status")).to_have_text("бот на связи", timeout=WAIT)

    @property
    def messages(self) -> Locator:
        """The messages, albums as one."""
        return self.page.get_by_role("log", name="Сообщения").locator("> .message")

    @property
    def replies(self) -> Locator:
        """The bot's messages."""
        return self.page.get_by_role("log", name="Сообщения").locator("> .message:not(.own)")

    @property
    def text(self) -> Locator:
        """The box that is written in."""
        return self.page.get_by_role("combobox", name="Сообщение")

    async def write(self, text: str) -> None:
        await self.text.fill(text)
        await self.text.press("Enter")

    async def allow_pictures(self) -> None:
        """Let what is sent from now on be kept."""
        await self.write("/privacy")
        await self.replies.last.get_by_role("button", name="Разрешить").click(timeout=WAIT)

    async def attach(self, *files: tuple[str, str, bytes], as_file: bool = False) -> None:
        """Choose files (name, type, content) with the clip, and send them."""
        payloads: Sequence[FilePayload] = [
            {"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files
        ]
        async with self.page.expect_file_chooser() as chooser:
            await self.page.get_by_role("button", name="Приложить картинки или файлы").click()
        await (await chooser.value).set_files(payloads)
        if as_file:
            await self.page.get_by_label("Отправить как файл").check()
        await self.page.get_by_role("button", name="Отправить", exact=True).click()

    async def give(self, way: Literal["paste", "drop"], *files: tuple[str, str, bytes]) -> None:
        """Put files on the page as the clipboard or a mouse does."""
        await self.page.evaluate(
            """([way, files]) => {
                const data = new DataTransfer();
                for (const [name, type, bytes] of files)
                    data.items.add(new File([new Uint8Array(bytes)], name, {type}));
                const event = way === "paste"
                    ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})
                    : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
                document.body.dispatchEvent(event);
            }""",
            [way, [[name, kind, list(data)] for name, kind, data in files]],
        )


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def chat_page(browser: Browser, sandbox: Sandbox, **context: Any) -> AsyncIterator[ChatPage]:
    """The page for a person who was never there before; `context` as for playwright's new_context."""
    options = {"viewport": {"width": 1180, "height": 860}, "locale": "ru-RU"} | context
    person = await browser.new_context(**options)
    person.set_default_timeout(WAIT)
    try:
        yield ChatPage(await person.new_page(), sandbox)
    finally:
        await person.close()
