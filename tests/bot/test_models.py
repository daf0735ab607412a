"""Choosing and comparing models, over real HTTP, with a real database and a real worker process."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.app import App
from bot.captioning.models import by_key, choices, key, operators
from bot.config import Settings
from bot.feedback.tables import User
from bot.handlers.pages import Offer, compare_keyboard, model_keyboard, model_page
from bot.sandbox import ME, Sandbox
from bot.sandbox.scene import GROUP
from bot.texts import texts
from inference.common.interpreter import PYTHON
from tests.bot.conftest import (
    OTHER,
    Json,
    answer_to,
    caption_of,
    data_of,
    labels,
    replies_to,
    reply_to,
    settled,
    until,
    working,
)
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import promote, write_checkpoint

MEME = jpeg_bytes(draw_meme("caption_bar", width=400))
SECOND_MEME = jpeg_bytes(draw_meme("two_frames", width=400))


@pytest.fixture
async def app(settings: Callable[..., Settings], sandbox: Sandbox, models_dir: Path) -> AsyncIterator[App]:
    """A bot with three models, of which one is broken."""
    async with working(settings(), sandbox) as running:
        yield running


@pytest.fixture
def models_dir(tmp_path: Path, settings: Callable[..., Settings]) -> Path:
    folder = tmp_path / "models"
    write_checkpoint(folder, "other", card="# Other\n\nSees what others <do not> see.\n")
    write_checkpoint(
        folder, "bad", weights="broken", card="---\ndescription_ru: Сломана.\n---\n# Bad\n\nBroken.\n"
    )
    return folder


async def command(sandbox: Sandbox, text: str) -> Json:
    """The bot's page in answer to a command."""
    return await reply_to(sandbox, await sandbox.send_text(text))


@pytest.mark.parametrize("name", ["/model", "/compare"])
async def test_a_name_as_long_as_a_message_is_answered(app: App, sandbox: Sandbox, name: str) -> None:
    page = await command(sandbox, f"{name} {'<' * (4095 - len(name))}")
    assert "/model покажет" in page["text"]


async def two(sandbox: Sandbox, message: Json) -> list[Json]:
    """Both answers to a picture, in their order."""
    return await sandbox.wait_for(lambda: (found := replies_to(sandbox, message))[1:] and found)


async def test_a_person_chooses_a_model_and_goes_back_to_the_usual_one(app: App, sandbox: Sandbox) -> None:
    page = await command(sandbox, "/model")
    assert "Сейчас: обычная, fake." in page["text"]
    assert "other – Sees what others <do not> see." in page["text"]
    assert "bad – Сломана." in page["text"]
    assert labels(page) == ["Обычная модель (выбрано)", "bad", "fake", "other", "Сравнивать модели"]

    sandbox.press(page["message_id"], data_of(page, f"m:{key('other')}"))
    await sandbox.wait_for(lambda: "Сейчас: other, ваш выбор." in page["text"])
    assert "other (выбрано)" in labels(page)
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    caption_id = caption_of(answer)
    row = await app.store.captions.get(caption_id)
    assert row is not None and row.model == "other"
    assert "Модель" not in answer["text"], "one description needs no name"

    # Somebody else still gets the operator's.
    theirs = await reply_to(sandbox, await sandbox.send_photo(MEME, user=OTHER))
    row = await app.store.captions.get(caption_of(theirs))
    assert row is not None and row.model == "fake"

    sandbox.press(page["message_id"], data_of(page, "m:0"))
    await sandbox.wait_for(lambda: "Сейчас: обычная, fake." in page["text"])
    assert "Обычная модель (выбрано)" in labels(page)


async def test_scores_are_told_in_words_first(app: App, sandbox: Sandbox, models_dir: Path) -> None:
    metrics = ", ".join(
        f"{{type: {key}, value: {value}}}"
        for key, value in {"bleu4": 0.3234, "quote_recall": 0.779, "content_precision": 0.3}.items()
    )
    card = f"---\ndescription_ru: Всё.\nmodel-index: [{{results: [{{metrics: [{metrics}]}}]}}]\n---\nAll.\n"
    write_checkpoint(models_dir, "scored", card=card)
    told = "процитировано 78 % слов; верно 30 % названного; BLEU-4 0,323"
    assert f"scored – Всё. На проверке: {told}.\n" in (await command(sandbox, "/model"))["text"] + "\n"
    sandbox.user(OTHER, language_code="en")
    page = await reply_to(sandbox, await sandbox.send_text("/model", user=OTHER))
    assert "scored – All. On test: 78 % of the words quoted; 30 % of what is" in page["text"]


async def test_a_model_that_is_not_here_is_told_with_the_command_that_gets_it(
    settings: Callable[..., Settings], sandbox: Sandbox, models_dir: Path
) -> None:
    async with working(settings(admin_ids=frozenset({ME})), sandbox):
        # Who cannot add it hears of it by its name alone.
        theirs = await reply_to(sandbox, await sandbox.send_text("/model", user=OTHER))
        assert "Модели, которых здесь нет" not in labels(theirs) and "rudolph" not in theirs["text"]
        asked = await reply_to(sandbox, await sandbox.send_text("/model Rudolph", user=OTHER))
        assert "python -m train_scripts reproduce rudolph" in asked["text"]

        page = await command(sandbox, "/model")
        assert "rudolph" not in page["text"]
        sandbox.press(page["message_id"], data_of(page, "m:n"))
        await sandbox.wait_for(lambda: "которых здесь нет" in page["text"])
        text = page["text"].encode("utf-16-le")
        codes = {
            text[2 * one["offset"] : 2 * (one["offset"] + one["length"])].decode("utf-16-le")
            for one in page["entities"]
            if one["type"] == "code"
        }
        assert f"{PYTHON} -m train_scripts reproduce rudolph" in codes
        assert f"{PYTHON} -m inference pull fasterrcnn_fpn" in codes
        assert not any("fake" in code for code in codes)
        sandbox.press(page["message_id"], data_of(page, "m:p"))
        await sandbox.wait_for(lambda: "other – Sees" in page["text"])


async def test_the_page_in_english(app: App, sandbox: Sandbox) -> None:
    sandbox.user(OTHER, language_code="en")
    page = await reply_to(sandbox, await sandbox.send_text("/model", user=OTHER))
    assert "Now: the usual one, fake." in page["text"]
    assert "bad – Broken." in page["text"]


async def test_a_model_with_a_translation_is_described_as_it_is_without(
    settings: Callable[..., Settings], sandbox: Sandbox, models_dir: Path
) -> None:
    async with working(settings(compare_with="other+org/en-ru"), sandbox):
        page = await command(sandbox, "/model")
        assert "other+org/en-ru – Sees what others <do not> see." in page["text"]
        assert "Обычная модель (выбрано)" in labels(page) and "other+org/en-ru" in labels(page)


async def test_a_model_is_chosen_by_its_name_too(app: App, sandbox: Sandbox) -> None:
    assert "Сейчас: other, ваш выбор." in (await command(sandbox, "/model OTHER"))["text"]
    assert (await command(sandbox, "/model ../x"))["text"] == "Модели ../x нет. /model покажет, какие есть."


async def test_compared_captions_come_in_order_and_have_their_own_buttons(app: App, sandbox: Sandbox) -> None:
    page = await command(sandbox, "/compare other")
    assert "Сейчас: два описания каждой картинки, от fake и от other." in page["text"]
    photo = await sandbox.send_photo(MEME)
    first, second = await two(sandbox, photo)
    assert first["text"].startswith("Описание 1 из 2. Модель: fake.\n\n400 x")
    assert second["text"].startswith("Описание 2 из 2. Модель: other.\n\n400 x")
    user = await app.store.people.find(ME)
    assert user is not None
    ids = [caption_of(one) for one in (first, second)]
    assert ids[0] != ids[1]

    # Each is rated by itself, and still says whose it is.
    for one, caption_id, mark in ((first, ids[0], 2), (second, ids[1], 5)):
        sandbox.press(one["message_id"], data_of(one, f"r:{caption_id}:{mark}"))
    await sandbox.wait_for(lambda: "оценка: 2 из 5" in first["text"] and "оценка: 5 из 5" in second["text"])
    assert [await app.store.marks.rating(user.id, caption_id) for caption_id in ids] == [2, 5]
    assert second["text"].startswith("Описание 2 из 2. Модель: other.\n\n400 x")
    assert "✓ 5 ★★★★★ отлично" in labels(second)

    # A correction and another version belong to the one under which the button is.
    sandbox.press(second["message_id"], data_of(second, "c:"))
    prompt = await reply_to(sandbox, second)
    await reply_to(sandbox, await sandbox.send_text("Кот", reply_to=prompt["message_id"]))
    assert [await app.store.marks.correction(user.id, caption_id) for caption_id in ids] == [None, "Кот"]
    sandbox.press(second["message_id"], data_of(second, "v:"))
    variant = (await sandbox.wait_for(lambda: replies_to(sandbox, photo)[2:]))[0]
    assert variant["text"].startswith("Ещё вариант. Модель: other.\n\n400 x")
    row = await app.store.captions.get(caption_of(variant))
    assert row is not None and (row.model, row.options["strategy"]) == ("other", "sample")

    (stats,) = [one for one in (await app.store.reports.stats()).models if one.model == "other"]
    assert (stats.captions, stats.marks, stats.corrections, stats.variants) == (2, {5: 1}, 1, 1)


async def test_a_comparison_uses_captions_made_before(app: App, sandbox: Sandbox) -> None:
    first = await reply_to(sandbox, await sandbox.send_photo(MEME))
    downloads = len(sandbox.calls_of("download"))
    await command(sandbox, "/compare other")
    again, other = await two(sandbox, await sandbox.send_photo(MEME))
    assert caption_of(again) == caption_of(first)
    assert other["text"].startswith("Описание 2 из 2. Модель: other.")
    assert len(sandbox.calls_of("download")) == downloads + 1
    await two(sandbox, await sandbox.send_photo(MEME))
    assert len(sandbox.calls_of("download")) == downloads + 1


async def test_an_album_is_compared_picture_by_picture(app: App, sandbox: Sandbox) -> None:
    await command(sandbox, "/compare other")
    before = len(sandbox.messages(by_bot=True))
    album = await sandbox.send_album([MEME, SECOND_MEME])
    said = await sandbox.wait_for(lambda: (found := sandbox.messages(by_bot=True)[before:])[3:] and found, 60)
    order = [(one["reply_to_message"]["message_id"], one["text"].split("\n")[0]) for one in said]
    names = ("Описание 1 из 2. Модель: fake.", "Описание 2 из 2. Модель: other.")
    assert order == [(photo["message_id"], name) for photo in album for name in names]


async def test_a_single_picture_is_compared_by_answering_it(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    photo = await sandbox.send_photo(MEME, chat=GROUP, user=OTHER)
    assert not replies_to(sandbox, photo)
    # Four models: which of them the others should be must be said.
    write_checkpoint(models_dir, "fourth")
    asked = await sandbox.send_text("/compare", chat=GROUP, reply_to=photo["message_id"])
    page = (await sandbox.wait_for(lambda: replies_to(sandbox, asked)))[0]
    assert "Сейчас: одно описание" in page["text"]
    pressed = sandbox.press(page["message_id"], data_of(page, f"x:{key('other')}"), chat=GROUP)
    await answer_to(sandbox, pressed)
    await sandbox.send_text("/compare", chat=GROUP, reply_to=photo["message_id"])
    first, second = await two(sandbox, photo)
    assert first["text"].startswith("Описание 1 из 2. Модель: fake.")
    assert second["text"].startswith("Описание 2 из 2. Модель: other.")
    assert "Сейчас: одно описание" in page["text"], "a page in a group is everybody's"
    # Those that are named are taken this once.
    await sandbox.send_text("/compare fourth other", chat=GROUP, reply_to=photo["message_id"])
    *_, third = await sandbox.wait_for(lambda: (found := replies_to(sandbox, photo))[4:] and found)
    said = [one["text"].split("\n")[0] for one in replies_to(sandbox, photo)[2:]]
    assert said == [
        f"Описание {n} из 3. Модель: {name}." for n, name in enumerate(("fake", "fourth", "other"), 1)
    ]
    assert "reply_markup" in third


async def test_three_descriptions_stand_beside_each_other_and_are_told_apart(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    shutil.rmtree(models_dir / "bad")
    write_checkpoint(models_dir, "my model")
    # Where there are few models, all of them are meant.
    page = await command(sandbox, "/compare")
    assert "Сейчас: три описания каждой картинки, от fake, от my model и от other." in page["text"]
    assert labels(page)[:3] == [
        "Одно описание",
        "Сравнивать с my model (выбрано)",
        "Сравнивать с other (выбрано)",
    ]
    photo = await sandbox.send_photo(MEME)
    said = await sandbox.wait_for(lambda: (found := replies_to(sandbox, photo))[2:] and found)
    assert [one["text"].split("\n")[0] for one in said] == [
        f"Описание {n} из 3. Модель: {name}." for n, name in enumerate(("fake", "my model", "other"), 1)
    ]
    marked = [*enumerate(said, 3)]
    for mark, one in marked:
        sandbox.press(one["message_id"], data_of(one, f"r:{caption_of(one)}:{mark}"))
    await sandbox.wait_for(lambda: all(f"оценка: {mark} из 5" in one["text"] for mark, one in marked))
    rows = [row async for row in app.store.reports.feedback()]
    assert {row.caption.model: row.mark for row in rows} == {"fake": 3, "my model": 4, "other": 5}

    # A bad picture is told of once.
    bad = await sandbox.send_document(b"no picture", "a.png")
    good = await sandbox.send_photo(SECOND_MEME)
    await sandbox.wait_for(lambda: replies_to(sandbox, good)[2:])
    assert len(replies_to(sandbox, bad)) == 1


async def test_models_are_added_to_a_comparison_and_left_out_again(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    for name in ("fourth", "my model", "extra"):
        write_checkpoint(models_dir, name)
    page = await command(sandbox, "/compare My Model")
    assert "два описания каждой картинки, от fake и от my model." in page["text"]

    async def pressed(prefix: str) -> Json:
        press = sandbox.press(page["message_id"], data_of(page, prefix))
        await sandbox.wait_for(lambda: press.answer is not None)
        assert press.answer is not None
        return press.answer

    await pressed(f"x:{key('other')}")
    await sandbox.wait_for(lambda: "от fake, от my model и от other." in page["text"])
    full = await pressed(f"x:{key('fourth')}")
    assert full["show_alert"] and "не больше трёх" in full["text"]
    await pressed(f"x:-{key('my model')}")
    await sandbox.wait_for(lambda: "два описания каждой картинки, от fake и от other." in page["text"])
    # One that went away is left out where another takes its place.
    await pressed(f"x:{key('bad')}")
    shutil.rmtree(models_dir / "bad")
    await pressed(f"x:{key('fourth')}")
    await sandbox.wait_for(lambda: "от fake, от other и от fourth." in page["text"])
    for name in ("fourth", "other"):
        await pressed(f"x:-{key(name)}")
    await sandbox.wait_for(lambda: "одно описание каждой картинки, от fake." in page["text"])

    assert "три описания" in (await command(sandbox, "/compare other, FOURTH"))["text"]
    said = (await command(sandbox, "/compare other fourth bad"))["text"]
    assert said == "Модели bad нет. /model покажет, какие есть."
    assert "не больше трёх" in (await command(sandbox, "/compare other fourth extra"))["text"]


async def test_the_operator_names_the_pair(
    settings: Callable[..., Settings], sandbox: Sandbox, models_dir: Path
) -> None:
    async with working(settings(compare_with="other"), sandbox):
        page = await command(sandbox, "/compare")
        assert "от fake и от other" in page["text"]
        first, second = await two(sandbox, await sandbox.send_photo(MEME))
        assert (first["text"][:12], second["text"][:12]) == ("Описание 1 и", "Описание 2 и")
        sandbox.press(page["message_id"], data_of(page, "x:0"))
        await sandbox.wait_for(lambda: "Сейчас: одно описание каждой картинки, от fake." in page["text"])
        photo = await sandbox.send_photo(SECOND_MEME)
        assert (await reply_to(sandbox, photo))["text"].startswith("400 x")


async def test_a_chosen_model_that_went_away_is_said_and_the_usual_one_describes(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    await command(sandbox, "/model other")
    shutil.rmtree(models_dir / "other")
    photo = await sandbox.send_photo(MEME)
    answer = await reply_to(sandbox, photo)
    assert answer["text"].startswith("Модели other больше нет, поэтому эту картинку описала обычная.")
    assert "\n\n400 x" in answer["text"]
    sandbox.press(answer["message_id"], data_of(answer, "r:"))
    await sandbox.wait_for(lambda: "Ваша оценка" in answer["text"])
    assert answer["text"].startswith("Модели other больше нет")
    assert "Вы выбрали other, но её здесь больше нет" in (await command(sandbox, "/model"))["text"]


async def test_when_one_of_two_went_away_the_other_one_describes(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    await command(sandbox, "/compare other")
    shutil.rmtree(models_dir / "other")
    first, second = await two(sandbox, await sandbox.send_photo(MEME))
    assert first["text"].startswith("Описание 1 из 2. Модель: fake.")
    assert second["text"].startswith("Модели other больше нет, поэтому на этот раз описаний на одно меньше.")
    assert "reply_markup" not in second


async def test_a_broken_model_is_a_sentence_and_costs_only_its_own_caption(
    app: App, sandbox: Sandbox
) -> None:
    await command(sandbox, "/compare bad")
    first, second = await two(sandbox, await sandbox.send_photo(MEME))
    assert first["text"].startswith("Описание 1 из 2. Модель: fake.\n\n400 x")
    assert second["text"].startswith("Модель bad сейчас не работает. Выберите другую командой /model")


async def test_a_bad_picture_is_told_of_once(app: App, sandbox: Sandbox) -> None:
    await command(sandbox, "/compare other")
    bad = await sandbox.send_document(b"no picture", "a.png")
    good = await sandbox.send_photo(MEME)
    await two(sandbox, good)

    await until(lambda: settled(app))
    (said,) = replies_to(sandbox, bad)
    assert "нет картинки" in said["text"]


async def test_another_model_describes_an_answered_picture_anew(app: App, sandbox: Sandbox) -> None:
    photo = await sandbox.send_photo(MEME)
    await reply_to(sandbox, photo)
    await command(sandbox, "/model other")
    await sandbox.send_text("/caption", reply_to=photo["message_id"])
    _, anew = await two(sandbox, photo)
    row = await app.store.captions.get(caption_of(anew))
    assert row is not None and row.model == "other"


async def test_a_promoted_checkpoint_describes_what_comes_next(
    app: App, sandbox: Sandbox, models_dir: Path
) -> None:
    before = await reply_to(sandbox, await sandbox.send_photo(MEME))
    checkpoint = promote(models_dir, "fake", "better")
    after = await reply_to(sandbox, await sandbox.send_photo(MEME))
    rows = [await app.store.captions.get(caption_of(one)) for one in (before, after)]
    assert rows[0] is not None and rows[1] is not None
    assert rows[0].checkpoint != rows[1].checkpoint == checkpoint
    assert {(one.model, one.checkpoint) for one in (await app.store.reports.stats()).models} == {
        ("fake", rows[0].checkpoint),
        ("fake", checkpoint),
    }


async def test_two_models_on_trial_serve_different_people(
    settings: Callable[..., Settings], sandbox: Sandbox, models_dir: Path
) -> None:
    trial = settings(ab_model="other")
    people: dict[str, int] = {}
    for telegram_id in range(2000, 2100):
        people.setdefault(operators(trial, telegram_id), telegram_id)
    async with working(trial, sandbox) as app:
        for name, person in people.items():
            answer = await reply_to(sandbox, await sandbox.send_photo(MEME, user=person))
            row = await app.store.captions.get(caption_of(answer))
            assert row is not None and row.model == name
        # Their own choice wins.
        chooser = people["other"]
        await reply_to(sandbox, await sandbox.send_text("/model fake", user=chooser))
        answer = await reply_to(sandbox, await sandbox.send_photo(MEME, user=chooser))
        row = await app.store.captions.get(caption_of(answer))
        assert row is not None and row.model == "fake"


def person(telegram_id: int, **changes: object) -> User:
    """A row as the store gives it."""
    values = {
        "id": 1,
        "telegram_id": telegram_id,
        "username": None,
        "language": "ru",
        "language_chosen": False,
        "consent": False,
        "active": True,
        "model": None,
        "compare_with": None,
        "created_at": datetime.now(UTC),
    }
    return User(**values | changes)


def test_the_share_on_trial_is_as_asked_and_stable(settings: Callable[..., Settings]) -> None:
    ids = range(10_000, 20_000)

    def on_trial(**changes: object) -> set[int]:
        made = settings(ab_model="b", **changes)
        return {one for one in ids if operators(made, one) == "b"}

    assert on_trial(ab_share=0.0) == set() and on_trial(ab_share=1.0) == set(ids)
    tenth, third = on_trial(ab_share=0.1), on_trial(ab_share=0.3)
    assert 850 < len(tenth) < 1150 and 2770 < len(third) < 3230  # 5 standard deviations
    assert tenth < third, "a larger share keeps those it had"
    assert 750 < len(third & on_trial(ab_share=0.3, ab_salt="2")) < 1050, "another salt deals anew"


@pytest.mark.parametrize(
    ("person_", "operator", "expected"),
    [
        ({}, {}, ["fake"]),
        ({"model": "x"}, {}, ["x"]),
        ({"compare_with": ()}, {}, ["fake"]),
        ({"compare_with": ()}, {"compare_with": "y"}, ["fake", "y"]),
        ({"compare_with": ("z",)}, {"compare_with": "y"}, ["fake", "z"]),
        ({"compare_with": ("z", "x")}, {"compare_with": "y"}, ["fake", "z", "x"]),
        ({"compare_with": ("z", "x"), "model": "z"}, {}, ["z", "x"]),
        ({"compare_with": ("z",), "model": "z"}, {"compare_with": "y"}, ["z", "y"]),
        ({"compare_with": ("z",), "model": "z"}, {}, ["z", "fake"]),
        ({"compare_with": ("fake",)}, {}, ["fake"]),
    ],
)
def test_who_describes(
    settings: Callable[..., Settings],
    person_: dict[str, object],
    operator: dict[str, object],
    expected: list[str],
) -> None:
    found = choices(settings(**operator), person(5, **person_))
    assert [choice.model for choice in found] == expected
    for number, choice in enumerate(found):
        others = tuple(name for name in expected if name != choice.model)
        assert (choice.part, choice.compared_with) == ((number + 1, others) if others else (0, None))


def test_names_of_any_length_fit_into_a_button() -> None:
    names = {f"hf:{'org' * 10}/{number}-{'name' * 15}": "про картинки " * 50 for number in range(120)}
    offer = Offer(user_id=2**31, descriptions=names, first=next(iter(names)), others=(), own=True)
    for keyboard in (model_keyboard(offer, texts("ru")), compare_keyboard(offer, texts("ru"))):
        buttons = [button for row in keyboard.inline_keyboard for button in row]
        assert len(buttons) <= 100
        data = Counter(button.callback_data for button in buttons)
        assert max(data.values()) == 1
        assert all(one is not None and len(one.encode()) <= 64 for one in data)
    assert len(model_page(offer, texts("ru")).encode("utf-16-le")) // 2 < 4096
    assert by_key(names, key(offer.first)) == offer.first
    assert by_key([], key(offer.first)) is None
