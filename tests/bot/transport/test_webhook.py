"""Updates by webhook, posted by the stand-in over real HTTP."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

import bot.app
from bot.app import App, build
from bot.config import OperatorError, Settings, load_settings
from bot.feedback.database import StoreError
from bot.feedback.tables import Place
from bot.sandbox import ME, Sandbox
from bot.transport.webhook import SECRET_HEADER
from inference.serving.engine import Engine
from tests.bot.conftest import Json, data_of, replies_to, reply_to, unfinished, until, working
from tests.bot.transport.test_wire import UPDATES
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SECRET = "s3cret_of-the-webhook"


@pytest.fixture
def hooked(settings: Callable[..., Settings], unused_tcp_port: int) -> Settings:
    return settings(
        webhook_url=f"http://127.0.0.1:{unused_tcp_port}/meme/hook",
        webhook_secret=SECRET,
        webhook_port=unused_tcp_port,
    )


async def post(settings: Settings, body: Any, secret: str | None = SECRET) -> int:
    """Post an update as Telegram does; the status."""
    headers = {} if secret is None else {SECRET_HEADER: secret}
    async with (
        aiohttp.ClientSession() as session,
        session.post(settings.webhook_url or "", json=body, headers=headers) as answer,
    ):
        return answer.status


async def test_a_taken_port_is_one_sentence(hooked: Settings, sandbox: Sandbox) -> None:
    taken = hooked.model_copy(update={"webhook_port": sandbox.port})
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{sandbox.port}.*another WEBHOOK_PORT"):
        async with working(taken, sandbox):
            pass


async def test_pictures_and_presses_come_by_webhook(hooked: Settings, sandbox: Sandbox) -> None:
    async with working(hooked, sandbox) as app:
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        sandbox.press(answer["message_id"], data_of(answer, "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in answer["text"])
        await until(lambda: healthy(app))
        assert not sandbox.calls_of("getUpdates")
        (call,) = sandbox.calls_of("setWebhook")
        assert call.params["secret_token"] == SECRET
    assert sandbox.api.webhook, "other bots of the same database may go on"


async def healthy(app: App) -> bool:
    return app.readiness()[0]


async def test_whoever_does_not_know_the_secret_is_refused(hooked: Settings, sandbox: Sandbox) -> None:
    body = {"update_id": 7, "message": message(sandbox, 50, "/help")}
    async with working(hooked, sandbox):
        assert await post(hooked, body, secret=None) == 401
        assert await post(hooked, body, secret="another_secret_of_ours") == 401
        assert await post(hooked, ["nonsense"]) == 400
        assert not sandbox.messages(by_bot=True)
        assert await post(hooked, body) == 200
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))


async def send(settings: Settings, body: bytes, **headers: str) -> int:
    """Post these bytes; the status."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            settings.webhook_url or "", data=io.BytesIO(body), headers={SECRET_HEADER: SECRET} | headers
        ) as answer,
    ):
        return answer.status


DEEP = 100_000
ODD: dict[str, tuple[bytes, int]] = {
    # What no second delivery would mend: Telegram would go on for a day, and hold back the rest.
    "65 bits": (b'{"update_id": %d, "message": {}}' % 2**64, 200),
    "63 bits": (b'{"update_id": %d, "message": {}}' % (2**63 - 1), 200),
    "5000 digits": (b'{"update_id": %s, "message": {}}' % (b"9" * 5000), 200),
    "5000 digits elsewhere": (b'{"update_id": 9, "message": {"message_id": %s}}' % (b"9" * 5000), 200),
    "negative": (b'{"update_id": -7}', 200),
    "a fraction": (b'{"update_id": 7.5}', 200),
    "a text": (b'{"update_id": "7"}', 200),
    "a truth": (b'{"update_id": true}', 200),
    "nothing": (b'{"update_id": null}', 200),
    "not a number": (b'{"update_id": NaN}', 200),
    "infinite": (b'{"update_id": 10, "message": {"date": Infinity, "x": 1e999}}', 200),
    "deep objects": (b'{"update_id": 11, "message": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", 200),
    "deep lists": (b'{"update_id": 12, "message": ' + b"[" * DEEP + b"]" * DEEP + b"}", 200),
    "halves": (rb'{"update_id": 13, "message": {"text": "\ud83d \u0000", "from": {"id": "\udc00"}}}', 200),
    "its sender beyond 64 bits": (b'{"update_id": 14, "message": {"from": {"id": %d}}}' % 2**70, 200),
    "sent by a truth": (b'{"update_id": 15, "message": {"from": {"id": true}}}', 200),
    "long": (b'{"update_id": 16, "message": {"text": "%s"}}' % (b"x" * 2_000_000), 200),
    # What is no update, or may be whole when it comes again.
    "huge": (b'{"update_id": 17, "message": {"text": "%s"}}' % (b"x" * 20_000_000), 413),
    "a list": (b"[]", 400),
    "a number": (b"7", 400),
    "no number": (b"{}", 400),
    "empty": (b"", 400),
    "not UTF-8": ('{"update_id": 7, "message": {"text": "привет"}}'.encode("cp1251"), 400),
    "cut off": (b'{"update_id": 7, "mess', 400),
    "only openings": (b"[" * DEEP, 400),
}


async def test_nothing_that_is_posted_breaks_the_webhook(
    hooked: Settings, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(hooked, sandbox):
        for name, (body, status) in ODD.items():
            assert (name, await send(hooked, body)) == (name, status)
        plain = b'{"update_id": 30, "message": {}}'
        for number, kind in enumerate(("text/plain", "application/json; charset=klingon", "x", "image/png")):
            assert (
                await send(hooked, plain.replace(b"30", b"%d" % (30 + number)), **{"Content-Type": kind})
                == 200
            )
        for encoding, status in (("gzip", 400), ("deflate", 400), ("klingon", 200)):
            assert await send(hooked, plain, **{"Content-Encoding": encoding}) == status
        assert await send(hooked, plain, **{SECRET_HEADER: "s3cr\u00e9t"}) == 401
        photo = await sandbox.send_photo(MEME)
        await reply_to(sandbox, photo)
    unexpected = [one for one in caplog.records if one.exc_info and not one.name.startswith("aiohttp.")]
    assert not unexpected


async def test_a_header_that_is_no_text_is_a_wrong_secret(hooked: Settings, sandbox: Sandbox) -> None:
    """Anybody can post this: no client of HTTP writes it, so the bytes are our own."""
    async with working(hooked, sandbox):
        reader, writer = await asyncio.open_connection("127.0.0.1", hooked.webhook_port)
        writer.write(
            b"POST /meme/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            + SECRET_HEADER.encode()
            + b": \xff\xfe\r\n\r\n{}"
        )
        assert (await reader.readline()).split()[1] == b"401"
        writer.close()
        await writer.wait_closed()


def test_no_update_whatsoever_is_answered_with_500(
    settings: Callable[..., Settings], unused_tcp_port: int
) -> None:
    """Of one running bot, which answers a person at the end as it did at the beginning."""
    hooked = settings(
        webhook_url=f"http://127.0.0.1:{unused_tcp_port}/hook",
        webhook_secret=SECRET,
        webhook_port=unused_tcp_port,
    )
    sandbox = Sandbox()
    bot = working(hooked, sandbox)
    with asyncio.Runner() as runner:
        runner.run(sandbox.start())
        try:
            runner.run(bot.__aenter__())
            try:

                @given(UPDATES.map(json.dumps).map(str.encode) | st.binary(max_size=200))
                @hypothesis.settings(deadline=None, max_examples=60)
                def any_update(body: bytes) -> None:
                    assert runner.run(send(hooked, body)) in {200, 400}

                any_update()
                runner.run(answered(sandbox))
            finally:
                runner.run(bot.__aexit__(None, None, None))
        finally:
            runner.run(sandbox.stop())


async def answered(sandbox: Sandbox) -> None:
    await reply_to(sandbox, await sandbox.send_photo(MEME))


async def test_a_database_that_is_away_has_the_update_posted_again(
    hooked: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bool:
        raise StoreError("The database cannot be used.")

    body = {"update_id": 7, "message": message(sandbox, 50, "/help")}
    async with working(hooked, sandbox) as app:
        with monkeypatch.context() as patch:
            patch.setattr(app.store.updates, "take", away)
            assert await post(hooked, body) == 503
        assert await post(hooked, body) == 200
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))


async def test_what_is_posted_again_is_answered_once(hooked: Settings, sandbox: Sandbox) -> None:
    body = {"update_id": 7, "message": message(sandbox, 50, "/help")}
    async with working(hooked, sandbox):
        assert [await post(hooked, body) for _ in range(3)] == [200, 200, 200]
        await post(hooked, {"update_id": 8, "message": message(sandbox, 51, "/privacy")})
        await sandbox.wait_for(
            lambda: any("Что я храню" in told["text"] for told in sandbox.messages(by_bot=True))
        )
        assert len(sandbox.messages(by_bot=True)) == 2


async def test_telegram_is_answered_before_the_work_is_done(hooked: Settings, sandbox: Sandbox) -> None:
    async with working(hooked, sandbox):
        gate = sandbox.hold("sendMessage")
        assert await post(hooked, {"update_id": 7, "message": message(sandbox, 50, "/help")}) == 200
        await sandbox.wait_for(lambda: gate.arrived)
        assert not sandbox.messages(by_bot=True)
        gate.release()
        await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))


async def test_what_a_dead_bot_left_is_taken_over(
    hooked: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that was written down and nothing more, and a picture whose bot died; both long ago."""
    photo = sandbox.world.public(await sandbox.send_photo(MEME))
    sandbox.world.updates.clear()
    second = sandbox.world.public(await sandbox.send_photo(jpeg_bytes(draw_meme("tweet", width=300))))
    sandbox.world.updates.clear()
    async with (
        Engine(hooked.engine) as engine,
        build(hooked, engine, token=sandbox.token, api_url=sandbox.url) as dead,
    ):
        assert await dead.store.updates.take(7, {"update_id": 7, "message": photo}, ME)
        user = await dead.store.people.meet(ME, language="ru")
        size = second["photo"][-1]
        ((job, _),) = await dead.store.jobs.accept(
            user_id=user.id,
            place=Place(ME),
            message_id=second["message_id"],
            file_id=size["file_id"],
            file_unique_id=size["file_unique_id"],
            language="ru",
        )
        await dead.store.jobs.claim(job.id)
    monkeypatch.setattr(bot.app, "LEASE", 1.0)
    async with working(hooked, sandbox) as app:
        for one in (photo, second):
            await reply_to(sandbox, one)

        async def settled() -> bool:
            rows = await app.store.updates.take_over(silent_for=0)
            return not rows and not await unfinished(app.store)

        await until(settled)
        assert [len(replies_to(sandbox, one)) for one in (photo, second)] == [1, 1]


async def test_updates_are_erased_with_their_person(hooked: Settings, sandbox: Sandbox) -> None:
    async with working(hooked, sandbox) as app:
        user = await app.store.people.meet(ME, language="ru")
        await app.store.updates.take(7, {"update_id": 7, "message": {"text": "тайна"}}, ME)
        await app.store.erasure.erase(user.id)
        async with app.store.sessions.reading() as session:
            rows = (await session.execute(text("SELECT * FROM posted_updates"))).all()
        assert len(rows) == 1 and "тайна" not in str(rows) and str(ME) not in str(rows)
        assert not await app.store.updates.take(7, {"update_id": 7}, ME), "its number is still known"


def test_without_a_secret_the_bot_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_URL", "https://example.org/meme")
    for secret in ("", "short", "with spaces and so on"):
        monkeypatch.setenv("WEBHOOK_SECRET", secret)
        with pytest.raises(OperatorError, match="WEBHOOK_SECRET must be set") as caught:
            load_settings(_env_file=None)
        assert not secret or secret not in str(caught.value)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    settings = load_settings(_env_file=None)
    assert SECRET in settings.secrets and SECRET not in repr(settings)
    monkeypatch.setenv("WEBHOOK_URL", "http://example.org/meme")
    with pytest.raises(OperatorError, match="https://"):
        load_settings(_env_file=None)


def message(sandbox: Sandbox, number: int, content: str) -> Json:
    """A text of the person at the page, as Telegram posts it."""
    person = sandbox.user(ME)
    command = {"type": "bot_command", "offset": 0, "length": len(content)}
    return {
        "message_id": number,
        "date": 1_700_000_000,
        "chat": {"id": ME, "type": "private", "first_name": "Анна"},
        "from": person,
        "text": content,
        "entities": [command],
    }
