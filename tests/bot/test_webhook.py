"""Updates by webhook, posted by the stand-in over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

import bot.app
from bot.app import App, build
from bot.config import OperatorError, Settings, load_settings
from bot.feedback.tables import now
from bot.sandbox import ME, Sandbox
from bot.webhook import SECRET_HEADER
from inference.engine import Engine
from tests.bot.conftest import Json, data_of, replies_to, reply_to, until, working
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
    return app.health()[0]


async def test_whoever_does_not_know_the_secret_is_refused(hooked: Settings, sandbox: Sandbox) -> None:
    body = {"update_id": 7, "message": message(sandbox, 50, "/help")}
    async with working(hooked, sandbox):
        assert await post(hooked, body, secret=None) == 401
        assert await post(hooked, body, secret="another_secret_of_ours") == 401
        assert await post(hooked, ["nonsense"]) == 400
        assert not sandbox.messages(by_bot=True)
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
        assert await dead.store.take_update(7, {"update_id": 7, "message": photo}, ME)
        user = await dead.store.user(ME, language="ru")
        size = second["photo"][-1]
        ((job, _),) = await dead.store.accept(
            user_id=user.id,
            chat_id=ME,
            message_id=second["message_id"],
            file_id=size["file_id"],
            file_unique_id=size["file_unique_id"],
            language="ru",
        )
        await dead.store.claim(job.id)
    monkeypatch.setattr(bot.app, "LEASE", 1.0)
    async with working(hooked, sandbox) as app:
        for one in (photo, second):
            await reply_to(sandbox, one)

        async def settled() -> bool:
            rows = await app.store.left_updates(now() + timedelta(days=1))
            return not rows and not await app.store.pending_jobs()

        await until(settled)
        assert [len(replies_to(sandbox, one)) for one in (photo, second)] == [1, 1]


async def test_updates_are_erased_with_their_person(hooked: Settings, sandbox: Sandbox) -> None:
    async with working(hooked, sandbox) as app:
        user = await app.store.user(ME, language="ru")
        await app.store.take_update(7, {"update_id": 7, "message": {"text": "тайна"}}, ME)
        await app.store.erase(user.id)
        async with app.store._read() as session:
            rows = (await session.execute(text("SELECT * FROM posted_updates"))).all()
        assert len(rows) == 1 and "тайна" not in str(rows) and str(ME) not in str(rows)
        assert not await app.store.take_update(7, {"update_id": 7}, ME), "its number is still known"


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
