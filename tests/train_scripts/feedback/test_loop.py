"""The loop that the marks exist for, closed: the real bot is corrected, and is nearer to that afterwards.

Real parts all the way: the bot with its worker and the model that ships, the stand-in of the Bot API, the
export, the training, the promotion under the running bot. Only the memes are drawn, so everything is small.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.app import App
from bot.config import Settings
from bot.feedback.export import export
from bot.sandbox import Sandbox
from inference.checkpoints.format import read_training
from inference.checkpoints.models import list_models
from tests.bot.conftest import caption_of, data_of, reply_to, settings, until, url, working
from tests.bot.feedback.conftest import Chat, meme
from tests.drawing import Kind, draw_meme, jpeg_bytes
from tests.inference.fakes import hash_of
from tests.train_scripts.feedback.exports import row, write
from train_scripts.__main__ import app as commands
from train_scripts.metrics.chrf import chrf, chrf_counts

__all__ = ["settings", "url"]  # fixtures

ROOT = Path(__file__).resolve().parents[3]
WAIT = 200  # seconds, on a busy machine
WIDTH = 360
DRAWN: Sequence[tuple[Kind, tuple[str, ...]]] = (
    ("caption_bar", ("КОТ ПРОСНУЛСЯ",)),
    ("caption_bar", ("СНАЧАЛА РАБОТА",)),
    ("two_frames", ("ЯСНОЕ УТРО", "ТЁМНЫЙ ВЕЧЕР")),
    ("text_only", ("ПОСЛЕ ЗАРПЛАТЫ",)),
    ("caption_bar", ("КОГДА НАСТАЛ ПОНЕДЕЛЬНИК",)),
    ("text_only", ("ЗДЕСЬ БЫЛА ШУТКА",)),
)
CORRECTED = (
    ("КОТ У ОКНА", 'Рыжий кот сидит на подоконнике у окна. Подпись сверху: "КОТ У ОКНА".'),
    ("ДОМА ХОРОШО", 'На картинке рыжий кот с большими глазами. Подпись сверху: "ДОМА ХОРОШО".'),
)
LIKED = "ХОРОШИЙ ДЕНЬ"


@pytest.fixture(scope="module")
def memes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for the data the model was trained on: drawn memes with their words quoted."""
    folder = tmp_path_factory.mktemp("memes")
    (folder / "images").mkdir()
    for split, shift in (("train", 0), ("val", 10)):
        rows = []
        for number, (kind, words) in enumerate(DRAWN):
            name = f"images/{split}-{number}.jpg"
            (folder / name).write_bytes(jpeg_bytes(draw_meme(kind, *words, width=WIDTH + shift)))
            text = " ".join(f'Подпись: "{one}".' for one in words)
            rows.append(json.dumps({"file_name": name, "text": text}, ensure_ascii=False) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models with the one that ships."""
    shutil.copytree(ROOT / "checkpoints" / "meme-small", tmp_path / "checkpoints" / "meme-small")
    return tmp_path / "checkpoints"


@dataclass
class Running:
    """The bot and the person at it."""

    app: App
    sandbox: Sandbox

    async def described(self, data: bytes) -> dict[str, Any]:
        """The bot's answer to this picture."""
        photo = await self.sandbox.send_document(data, "meme.jpg")

        def answers() -> list[dict[str, Any]]:
            said = self.sandbox.messages(by_bot=True)
            return [
                one
                for one in said
                if one.get("reply_to_message", {}).get("message_id") == photo["message_id"]
                and "inline_keyboard" in one.get("reply_markup", {})
            ]

        found: list[dict[str, Any]] = await self.sandbox.wait_for(answers, WAIT)
        return found[0]

    async def caption(self, answer: dict[str, Any]) -> Any:
        """The row of the caption in this answer."""
        row = await self.app.store.captions.get(caption_of(answer))
        assert row is not None
        return row

    async def correct(self, answer: dict[str, Any], text: str) -> None:
        """Presses the button and answers the prompt."""
        self.sandbox.press(answer["message_id"], data_of(answer, "c:"))
        prompt = await reply_to(self.sandbox, answer)
        written = await self.sandbox.send_text(text, reply_to=prompt["message_id"])
        assert "сохранено" in (await reply_to(self.sandbox, written))["text"]

    async def mark(self, answer: dict[str, Any], mark: int) -> None:
        caption_id = caption_of(answer)
        before = (await self.app.store.reports.stats()).models
        self.sandbox.press(answer["message_id"], data_of(answer, f"r:{caption_id}:{mark}"))

        async def stored() -> bool:
            return (await self.app.store.reports.stats()).models != before

        await until(stored, WAIT)


@pytest.fixture
async def bot(settings: Callable[..., Settings], models: Path, sandbox: Sandbox) -> AsyncIterator[Running]:
    """The real bot with the model that ships, and a person who lets pictures be kept."""
    own = settings(
        models_dir=models,
        model="meme-small",
        captioner="inference.captioners.captioner:load_captioner",
        inference_threads=1,
        picture_timeout=WAIT,
    )
    async with working(own, sandbox) as app:
        await sandbox.send_text("/privacy")
        page = await sandbox.wait_for(
            lambda: [one for one in sandbox.messages(by_bot=True) if "reply_markup" in one]
        )
        sandbox.press(page[-1]["message_id"], data_of(page[-1], "p:1"))

        async def consented() -> bool:
            return (await app.store.reports.stats()).consenting_users == 1

        await until(consented)
        yield Running(app, sandbox)


def run(*arguments: object) -> Result:
    """`python -m train_scripts ARGUMENTS`."""
    return CliRunner().invoke(commands, [str(argument) for argument in arguments])


def finetune(feedback: Path, data: Path, models: Path, out: Path, *more: object) -> Result:
    return run(
        *("finetune", "--feedback", feedback, "--data", data, "--out", out, "--models-dir", models),
        *("--model", "meme-small", "--threads", 1, *more),
    )


def nearness(caption: str, correction: str) -> float:
    return float(chrf(chrf_counts(caption, correction)))


async def test_the_loop_closes(bot: Running, memes: Path, models: Path, tmp_path: Path) -> None:
    pictures = {text: jpeg_bytes(draw_meme("caption_bar", words, width=WIDTH)) for words, text in CORRECTED}
    before = {}
    for text, data in pictures.items():
        answer = await bot.described(data)
        before[text] = await bot.caption(answer)
        await bot.mark(answer, 2)
        await bot.correct(answer, text)
    liked = await bot.described(jpeg_bytes(draw_meme("text_only", LIKED, width=WIDTH)))
    await bot.mark(liked, 5)
    report = await export(bot.app.store, tmp_path / "feedback")
    assert (report.rows, report.pictures, report.without_pictures) == (3, 3, 0)

    out = tmp_path / "run"
    done = finetune(tmp_path / "feedback", memes, models, out, "--epochs", 8, "--rate", "0.001", "--batch", 2)
    assert done.exit_code == 0, done.output
    assert "3 rows: 2 corrected pictures, 1 liked captions, 2 pairs." in done.output

    # What it says of itself.
    parent = hash_of(models, "meme-small")
    lineage = read_training(out / "checkpoint").lineage
    assert lineage is not None and lineage.feedback is not None
    assert lineage.parent == parent
    assert (lineage.feedback["lessons"], lineage.feedback["pairs"]) == (3, 2)
    assert len(lineage.feedback["export"]) == 64
    comparison = json.loads((out / "comparison.json").read_text())
    assert comparison["parent"] == parent
    assert comparison["checkpoint"] == hash_of(out, "checkpoint")
    assert comparison["val"]["pictures"] == len(DRAWN)
    assert comparison["val"]["scores"]["meteor"]["better"] != "A", "val does not suffer"
    assert comparison["feedback"]["scores"]["chrf"]["b"] > comparison["feedback"]["scores"]["chrf"]["a"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == len(CORRECTED)
    assert "Рыжий кот" in page or "рыжий" in page
    assert parent in (out / "report.md").read_text(encoding="utf-8")
    assert "taught by feedback" in next(
        one.description for one in list_models(out) if one.name == "checkpoint"
    )

    # And what people get: the bot that runs answers the same pictures with the new weights.
    promoted = run("promote", out, "--name", "meme-small", "--models-dir", models)
    assert promoted.exit_code == 0, promoted.output
    for text, data in pictures.items():
        after = await bot.caption(await bot.described(data))
        assert after.checkpoint == comparison["checkpoint"]
        assert nearness(after.text, text) > nearness(before[text].text, text), after.text
    back = run("promote", "--rollback", "--name", "meme-small", "--models-dir", models)
    assert back.exit_code == 0, back.output
    assert hash_of(models, "meme-small") == parent


def test_rows_without_pictures_are_counted_and_named(memes: Path, models: Path, tmp_path: Path) -> None:
    liked = row(caption='На картинке кот. Подпись: "КАРТИНКА 0".', rating=5)
    rows = [liked, row(None, correction="Кот."), row(None, rating=5)]
    feedback = write(tmp_path / "feedback", rows)
    done = finetune(feedback, memes, models, tmp_path / "run", "--epochs", 1, "--rate", "0.0001")
    assert "2 rows teach nothing: their pictures were not kept" in done.output
    assert done.exit_code == 0, done.output
    assert "2 of 3 rows, whose pictures were not kept" in (tmp_path / "run" / "report.md").read_text("utf-8")


async def test_an_erased_person_leaves_the_training_set(memes: Path, models: Path, tmp_path: Path) -> None:
    """With an export of before the erasure, and the list of a newer one."""
    async with await open_store(tmp_path) as store:
        chat = Chat(store)
        anna, boris = await chat.person(1), await chat.person(2)
        answer = await chat.answer(anna, meme("ЕЁ КАРТИНКА"))
        await store.marks.correct(anna.id, answer.id, "Рыжий кот у окна, это её слова.")
        answer = await chat.answer(boris, meme("ЕГО КАРТИНКА"))
        await store.marks.rate(boris.id, answer.id, 5)
        await export(store, tmp_path / "old")
        await store.erasure.erase(anna.id)
        await export(store, tmp_path / "new")
    done = finetune(
        *(tmp_path / "old", memes, models, tmp_path / "run", "--epochs", 1, "--rate", "0.0001"),
        *("--erased", tmp_path / "new" / "erased.jsonl"),
    )
    assert "1 rows are left out: their author or picture was erased since the export." in done.output
    assert done.exit_code == 0, done.output
    lineage = read_training(tmp_path / "run" / "checkpoint").lineage
    assert lineage is not None and lineage.feedback is not None
    assert (lineage.feedback["rows"], lineage.feedback["rows_erased_since"]) == (1, 1)
    for path in (tmp_path / "run").rglob("*"):
        if path.suffix in {".md", ".html", ".json", ".jsonl"}:
            assert "это её слова" not in path.read_text("utf-8"), path


def test_errors_are_one_sentence(memes: Path, models: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "feedback", [row(correction="Рыжий кот у окна.")])
    nothing = write(tmp_path / "nothing", [])
    torn = write(tmp_path / "torn", [row(correction="Кот.")])
    (torn / "images" / "0.jpg").write_bytes(b"no picture at all")
    shutil.copytree(memes, tmp_path / "memes")
    for name in ("train-2", "val-3"):
        (tmp_path / "memes" / "images" / f"{name}.jpg").write_bytes(b"")
    full = tmp_path / "full"
    (full / "something").mkdir(parents=True)
    shutil.copytree(models / "meme-small", models / "strange")
    config = json.loads((models / "strange" / "config.json").read_text("utf-8"))
    (models / "strange" / "config.json").write_text(json.dumps({**config, "architecture": "coco-objects"}))
    cases = [
        (finetune(nothing, memes, models, tmp_path / "a"), "There is nothing to learn"),
        (finetune(tmp_path, memes, models, tmp_path / "a"), "no export of the bot"),
        (finetune(torn, memes, models, tmp_path / "b"), "images/0.jpg cannot be read (This is not a picture"),
        (finetune(good, tmp_path / "memes", models, tmp_path / "b"), "2 pictures cannot be read ("),
        (finetune(good, memes, models, full), "is not empty: give a folder of its own"),
        (finetune(good, tmp_path, models, tmp_path / "c"), "train.jsonl is not there"),
        (
            finetune(good, memes, models, tmp_path / "d", "--model", "large"),
            "There is no model named 'large'",
        ),
        (finetune(good, memes, models, tmp_path / "e", "--model", "strange"), "cannot learn from feedback"),
        (
            finetune(good, memes, models, tmp_path / "f", "--measure", "beauty"),
            "There is no score named beauty",
        ),
        (run("promote", "--name", "meme-small", "--models-dir", models), "Give either the folder of a run"),
    ]
    for done, sentence in cases:
        assert done.exit_code == 1, done.output
        *_, said = done.stderr.splitlines()  # a progress bar may stand above it
        assert said.startswith("Error: ")
        assert sentence in said
        assert "Traceback" not in done.output


def test_a_model_is_looked_for_where_the_bot_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "elsewhere"))
    done = run("promote", "--rollback", "--name", "meme-small")
    assert f"{tmp_path / 'elsewhere'} does not hold both meme-small" in done.stderr


async def open_store(folder: Path) -> Any:
    from bot.feedback.store import Store

    return await Store.open(f"sqlite:///{folder}/bot.db", folder / "data")
