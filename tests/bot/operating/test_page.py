"""The operator's page over HTTP: who may see it, what it says, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from bot.app import App
from bot.config import Settings
from bot.operating.page.door import REFILL, SESSION, TRIES, Door
from bot.sandbox import ME, Sandbox
from tests.bot.conftest import caption_of, data_of, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import RAISE, picture

PASSWORD = "correct horse battery"
MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


@pytest.fixture
async def page(
    settings: Callable[..., Settings], sandbox: Sandbox, unused_tcp_port: int
) -> AsyncIterator[tuple[App, str]]:
    """A bot with its operator's page."""
    changed = settings(operator_password=PASSWORD, operator_port=unused_tcp_port)
    async with working(changed, sandbox) as app:
        yield app, f"http://127.0.0.1:{unused_tcp_port}"


async def entered(session: aiohttp.ClientSession, url: str, password: str = PASSWORD, **request: Any) -> int:
    """Log in; the status."""
    async with session.post(
        f"{url}/login", data={"password": password}, allow_redirects=False, **request
    ) as answer:
        return answer.status


async def read(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url, allow_redirects=False) as answer:
        return answer.status, (await answer.read()).decode(errors="replace")


def visitor() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # for an address by number


async def test_who_does_not_know_the_password_sees_nothing(page: tuple[App, str], sandbox: Sandbox) -> None:
    app, url = page
    user = await app.store.people.meet(ME, language="ru")
    await app.store.people.set_consent(user.id, True)
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    async with visitor() as session:
        assert (await read(session, url))[0] == 303
        assert (await read(session, f"{url}/pictures/1"))[0] == 403
        assert await entered(session, url, "wrong") == 403
        assert (await read(session, url))[0] == 303
        # A page of another site cannot log anybody in or out.
        for other in ("https://example.org", "null", "http://[broken"):
            assert await entered(session, url, headers={"Origin": other}) == 403
        form = "application/x-www-form-urlencoded"
        for kind, body in ((form, b"password=\xff"), (f"{form}; charset=none", b"password=a")):
            async with session.post(f"{url}/login", data=body, headers={"Content-Type": kind}) as answer:
                assert answer.status == 400
        assert await entered(session, url, headers={"Origin": url}) == 303
        assert (await read(session, url))[0] == 200
        assert (await read(session, f"{url}/pictures/1"))[0] == 200
        async with session.post(f"{url}/logout", allow_redirects=False) as answer:
            assert answer.status == 303
        assert (await read(session, url))[0] == 303


async def test_the_cookie_and_the_headers_leave_little_to_others(page: tuple[App, str]) -> None:
    async with visitor() as session:
        password, secure = {"password": PASSWORD}, {"X-Forwarded-Proto": "https"}
        async with session.post(
            f"{page[1]}/login", headers=secure, data=password, allow_redirects=False
        ) as answer:
            told = answer.headers["Set-Cookie"]
            assert all(word in told for word in ("HttpOnly", "SameSite=Strict", "Secure", "Max-Age=43200"))
        async with session.post(f"{page[1]}/login", data=password, allow_redirects=False):
            pass
        for path, status in (("/", 200), ("/pictures/99", 404), ("/nothing", 404), ("/style.css", 200)):
            async with session.get(page[1] + path) as answer:
                assert answer.status == status, path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"


async def test_passwords_cannot_be_tried_fast(page: tuple[App, str]) -> None:
    async with visitor() as session:
        assert [await entered(session, page[1], f"guess {number}") for number in range(TRIES)] == [
            403
        ] * TRIES
        async with session.post(f"{page[1]}/login", data={"password": PASSWORD}) as answer:
            assert answer.status == 429
            assert 0 < int(answer.headers["Retry-After"]) <= REFILL
            assert "Too many tries" in await answer.text()


def test_a_door_opens_again_and_a_session_ends() -> None:
    moment = 0.0
    door = Door(PASSWORD, clock=lambda: moment)
    for _ in range(TRIES):
        assert door.enter("wrong") is None
    assert door.enter(PASSWORD) is None and door.wait() == pytest.approx(REFILL)
    moment = REFILL
    session = door.enter(PASSWORD)
    assert session is not None and door.knows(session) and not door.knows("another")
    moment += SESSION
    assert not door.knows(session)


async def test_it_says_what_the_store_holds(page: tuple[App, str], sandbox: Sandbox) -> None:
    app, url = page
    user = await app.store.people.meet(ME, language="ru")
    await app.store.people.set_consent(user.id, True)
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    sandbox.press(answer["message_id"], data_of(answer, "r:"))
    await sandbox.wait_for(lambda: "Ваша оценка: 1" in answer["text"])
    await reply_to(sandbox, await sandbox.send_document(picture(RAISE), "a.png"))
    await until(lambda: settled(app))
    async with visitor() as session:
        await entered(session, url)
        status, text = await read(session, f"{url}/?days=7")
        assert status == 200
        assert f"Caption {caption_of(answer)}: 1.0 of 5" in text
        assert '<th scope="row">out of order</th><td>1</td>' in text
        assert "Pictures answered: at least 0" in text and "at most 1" in text
        async with session.get(f"{url}/pictures/1") as shown:
            assert (shown.status, shown.content_type) == (200, "image/jpeg")
            assert (await shown.read())[:3] == b"\xff\xd8\xff"
        # Whose picture is kept no more is shown no more.
        await app.store.people.set_consent(user.id, False)
        status, text = await read(session, url)
        assert f"Caption {caption_of(answer)}" not in text
        assert (await read(session, f"{url}/pictures/1"))[0] == 404


async def test_what_a_caption_says_is_text_and_no_page(page: tuple[App, str], sandbox: Sandbox) -> None:
    app, url = page
    user = await app.store.people.meet(ME, language="ru")
    await app.store.people.set_consent(user.id, True)
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    await app.store.marks.rate(user.id, caption_of(answer), 1)
    from sqlalchemy import update

    from bot.feedback.tables import CaptionRow

    async with app.store.sessions.transaction() as session:
        await session.execute(update(CaptionRow).values(text="<script>alert(1)</script>", words=["<b>"]))
    async with visitor() as browser:
        await entered(browser, url)
        _, text = await read(browser, url)
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "&lt;b&gt;" in text
