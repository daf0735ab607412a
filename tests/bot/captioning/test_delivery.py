"""Replies arrive once, in parts where they are long, and what Telegram refuses for good is written down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.app import App
from bot.config import Settings
from bot.feedback.store import Store
from bot.sandbox import ME, Sandbox
from bot.sandbox.faults import FaultKind
from bot.sandbox.scene import GROUP
from tests.bot.conftest import data_of, replies_to, reply_to, settled, until, working
from tests.drawing import draw_meme, jpeg_bytes

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


async def test_a_reply_that_is_refused_for_long_is_left_for_the_next_start(
    settings: Callable[..., Settings],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # It is tried at once and after one second.
    monkeypatch.setattr("bot.captioning.delivery.DELIVERY_TIME", 2.0)
    sandbox.fail("sendMessage", "not_found", times=2)

    async def told() -> bool:
        return "is left for the next start: its reply could not be sent" in caplog.text

    async with working(settings(), sandbox):
        photo = await sandbox.send_photo(MEME)
        await until(told)
    assert "Traceback" not in caplog.text
    async with working(settings(), sandbox) as app:
        assert (await reply_to(sandbox, photo))["text"].startswith("400 x")
        await until(lambda: settled(app))
    assert len(replies_to(sandbox, photo)) == 1


@pytest.mark.parametrize("kind", ["reset", "reset_after"])
async def test_where_nobody_knows_whether_a_caption_came_a_note_shows_it(
    app: App, sandbox: Sandbox, kind: FaultKind
) -> None:
    """Whether the connection broke before or after: it comes at most once, and is a press away."""
    sandbox.fail("sendMessage", kind, times=2)  # the note may be in doubt as well
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: [call.status for call in sandbox.calls_of("sendMessage")] == [0, 0, 200])
    await until(lambda: settled(app))
    *captions, note = replies_to(sandbox, photo)
    captions = [one for one in captions if one["text"].startswith("400 x")]
    assert len(captions) == (kind == "reset_after")
    assert "Если выше его нет, нажмите кнопку" in note["text"]
    assert (await app.store.reports.stats()).lost_answers == 2
    sandbox.press(note["message_id"], data_of(note, "s:"))
    await sandbox.wait_for(
        lambda: sum("400 x" in one["text"] for one in replies_to(sandbox, photo)) == len(captions) + 1
    )


async def test_what_is_no_caption_is_said_again_rather_than_not_at_all(app: App, sandbox: Sandbox) -> None:
    sandbox.fail("getFile", "bad_request")
    sandbox.fail("sendMessage", "reset")
    photo = await sandbox.send_photo(MEME)
    told = await reply_to(sandbox, photo)
    await until(lambda: settled(app))
    assert replies_to(sandbox, photo) == [told]
    assert "Если выше его нет" not in told["text"]


async def test_a_reply_whose_picture_another_bot_has_taken_over_is_not_sent(
    app: App, sandbox: Sandbox, settings: Callable[..., Settings]
) -> None:
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: gate.arrived)
    async with await Store.open(settings().database_url, settings().data_dir) as other:
        (job,) = await other.jobs.take_over()
        gate.release()

        async def given_up() -> bool:
            return not app.captioning.unfinished

        await until(given_up)
        assert replies_to(sandbox, photo) == []
        read = await other.jobs.get(job.id)
        assert read is not None and read.sending_at is None and read.caption_id is not None


async def test_a_picture_deleted_meanwhile_is_answered_without_a_reply(app: App, sandbox: Sandbox) -> None:
    gate = sandbox.hold("download")
    photo = await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: gate.arrived)
    del sandbox.world.chats[ME].messages[photo["message_id"]]
    gate.release()
    said = await sandbox.wait_for(lambda: sandbox.messages(by_bot=True))
    assert said[0]["text"].startswith("400 x")
    assert "reply_to_message" not in said[0]


async def test_who_blocked_the_bot_is_inactive_and_not_written_to_again(app: App, sandbox: Sandbox) -> None:
    gate = sandbox.hold("download")
    await sandbox.send_photo(MEME)
    await sandbox.wait_for(lambda: gate.arrived)
    sandbox.block()

    async def inactive() -> bool:
        user = await app.store.people.find(ME)
        return user is not None and not user.active

    await until(inactive)
    gate.release()
    await until(lambda: settled(app))
    assert [call.status for call in sandbox.calls_of("sendMessage")] == [403]

    sandbox.block(blocked=False)
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    assert not await inactive()


async def test_being_thrown_out_of_a_group_says_nothing_of_the_person(app: App, sandbox: Sandbox) -> None:
    sandbox.fail("sendMessage", "forbidden")
    await sandbox.send_photo(MEME, chat=GROUP, caption="@meme_describer_bot")
    await sandbox.wait_for(lambda: sandbox.calls_of("sendMessage"))
    await until(lambda: settled(app))
    user = await app.store.people.find(ME)
    assert user is not None
    assert user.active


async def test_a_long_caption_is_split_and_the_mark_lands_in_the_last_part(
    settings: Callable[..., Settings], sandbox: Sandbox
) -> None:
    async with working(settings(captioner="tests.bot.captioners:load_talkative"), sandbox):
        photo = await sandbox.send_photo(MEME)
        await sandbox.wait_for(lambda: any("reply_markup" in one for one in sandbox.messages(by_bot=True)))
        said = sandbox.messages(by_bot=True)
        assert len(said) > 1
        assert all(one["reply_to_message"]["message_id"] == photo["message_id"] for one in said)
        assert ["reply_markup" in one for one in said] == [False] * (len(said) - 1) + [True]
        whole = " ".join(one["text"] for one in said).split()
        assert whole.count("<мем>&") == 1200
        sandbox.press(said[-1]["message_id"], data_of(said[-1], "r:"))
        await sandbox.wait_for(lambda: "Ваша оценка: 1" in sandbox.messages()[-1]["text"])
        assert [one["text"] for one in sandbox.messages(by_bot=True)[:-1]] == [
            one["text"] for one in said[:-1]
        ]
