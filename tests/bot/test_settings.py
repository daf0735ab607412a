"""How much is told, where the words stand and in which language: a person's own choice, kept and honoured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bot.app import App
from bot.config import Settings
from bot.feedback.export import export
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from inference.common.types import DecodingOptions
from tests.bot.conftest import OTHER, Json, caption_of, data_of, forget, labels, replies_to, reply_to, working
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import TALKS, write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
OTHER_MEME = jpeg_bytes(draw_meme("two_frames", width=400))


async def choose(sandbox: Sandbox, page: Json, choice: str) -> None:
    """Press a button of the page, and see that the page says so."""
    before = page["text"], labels(page)
    pressed = sandbox.press(page["message_id"], data_of(page, f"t:{choice}:"), user=page["chat"]["id"])
    await sandbox.wait_for(lambda: pressed.answer is not None and (page["text"], labels(page)) != before)


async def options_of(app: App, answer: Json) -> DecodingOptions:
    """What the captioner of a description was asked for."""
    row = await app.store.captions.get(caption_of(answer))
    assert row is not None
    return DecodingOptions.from_dict(row.options)


async def test_the_page_says_in_words_what_is_chosen_and_descriptions_are_told_so(
    app: App, sandbox: Sandbox
) -> None:
    page = await reply_to(sandbox, await sandbox.send_text("/settings"))
    assert "Сейчас: обычно, слова в описании, по-русски." in page["text"]
    usual = [
        *("Коротко", "Обычно (выбрано)", "Подробно"),
        *("Слова в описании (выбрано)", "Слова отдельно"),
        *("По-русски (выбрано)", "По-английски", "По-украински"),
    ]
    assert labels(page) == usual
    photo = await sandbox.send_photo(MEME)
    first = await reply_to(sandbox, photo)
    assert await options_of(app, first) == DecodingOptions()

    await choose(sandbox, page, "short")
    await choose(sandbox, page, "apart")
    assert "Сейчас: коротко, слова отдельно, по-русски." in page["text"]
    assert [label for label in labels(page) if "выбрано" in label] == [
        *("Коротко (выбрано)", "Слова отдельно (выбрано)", "По-русски (выбрано)"),
    ]
    told = DecodingOptions("own", detail="short", quoting=False)
    # The same picture is described anew, also where it is pointed at; somebody else still hears the usual.
    assert await options_of(app, await reply_to(sandbox, await sandbox.send_photo(MEME))) == told
    await sandbox.send_text("/caption", reply_to=photo["message_id"])
    again = await sandbox.wait_for(lambda: replies_to(sandbox, photo)[1:])
    assert await options_of(app, again[0]) == told
    theirs = await reply_to(sandbox, await sandbox.send_photo(MEME, user=OTHER))
    assert caption_of(theirs) == caption_of(first)
    # Another version is a draw of the same length.
    sandbox.press(again[0]["message_id"], data_of(again[0], "v:"))
    versions = await sandbox.wait_for(lambda: replies_to(sandbox, photo)[2:])
    version = await options_of(app, versions[0])
    assert (version.strategy, version.detail, version.quoting) == ("sample", "short", False)
    # Every picture of an album.
    album = await sandbox.send_album([MEME, OTHER_MEME])
    for one in album:
        assert await options_of(app, await reply_to(sandbox, one)) == told


async def test_a_model_that_knows_russian_only_says_so(app: App, sandbox: Sandbox) -> None:
    page = await reply_to(sandbox, await sandbox.send_text("/settings"))
    assert "только по-русски" not in page["text"]
    await choose(sandbox, page, "uk")
    assert "по-украински. Модель fake описывает только по-русски." in page["text"]
    model_page = await reply_to(sandbox, await sandbox.send_text("/model"))
    assert "Сейчас: обычная, fake. Модель fake описывает только по-русски." in model_page["text"]


async def test_a_model_that_talks_knows_every_language_and_says_nothing_of_it(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Whoever runs it: a hub's or a server's is a card that says so."""
    write_checkpoint(tmp_path / "models", "talker", card=TALKS)
    async with working(settings(model="talker", compare_with="fake"), sandbox):
        page = await reply_to(sandbox, await sandbox.send_text("/settings"))
        await choose(sandbox, page, "en")
        assert "по-английски." in page["text"] and "только по-русски" not in page["text"]
        await reply_to(sandbox, await sandbox.send_text("/compare fake"))
        page = await reply_to(sandbox, await sandbox.send_text("/settings"))
        assert "по-английски. Модель fake описывает только по-русски." in page["text"]
        assert "talker описывает только" not in page["text"]


async def test_in_a_group_the_choices_are_the_askers_and_compared_models_have_them_too(
    settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "models", "other")
    async with working(settings(), sandbox) as app:
        page = await reply_to(sandbox, await sandbox.send_text("/settings"))
        await choose(sandbox, page, "detailed")
        photo = await sandbox.send_photo(MEME, chat=GROUP, user=OTHER)
        await sandbox.send_text("/compare", chat=GROUP, reply_to=photo["message_id"])
        both = await sandbox.wait_for(lambda: (found := replies_to(sandbox, photo))[1:] and found)
        assert [(await options_of(app, one)).detail for one in both] == ["detailed", "detailed"]
        await sandbox.send_text("/caption", chat=GROUP, user=OTHER, reply_to=photo["message_id"])
        usual = await sandbox.wait_for(lambda: replies_to(sandbox, photo)[2:])
        assert (await options_of(app, usual[0])).detail == "usual"
    # Another start of the bot: the page still counts, and the choice too, until its person is erased.
    async with working(settings(), sandbox) as app:
        assert "подробно" in (await reply_to(sandbox, await sandbox.send_text("/settings")))["text"]
        await choose(sandbox, page, "short")
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
        sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_of(answer)}:5"))
        await sandbox.wait_for(lambda: "Ваша оценка: 5" in answer["text"])
        await export(app.store, tmp_path / "export")
        (line,) = (tmp_path / "export" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["options"]["detail"] == "short"
        await forget(sandbox)
        assert await app.store.people.find(ME) is None
        assert "обычно" in (await reply_to(sandbox, await sandbox.send_text("/settings")))["text"]
