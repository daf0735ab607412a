"""The whole recipe on a made-up data set of drawn memes: read, train, be killed, go on, caption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.captioners.captioner import load_captioner
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.checkpoints.format import read_config, read_training
from inference.common.types import DecodingOptions
from tests.disk import files_of_at_most
from tests.drawing import draw_meme, jpeg_bytes
from tests.forked import Commands, Done

STAGES = [("concepts", None), ("language", 1), ("memes", 1), ("memes", 2), ("memes", 3)]
JOKES = (
    ("КОТ ПРОСНУЛСЯ", "И СНОВА СПИТ"),
    ("СНАЧАЛА РАБОТА", "ПОТОМ УЖЕ СОН"),
    ("ЯСНОЕ УТРО", "ТЁМНЫЙ ВЕЧЕР"),
    ("ДО ЗАРПЛАТЫ", "ПОСЛЕ ЗАРПЛАТЫ"),
)


@pytest.fixture(scope="module")
def memes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 drawn memes described in Russian for training, 2 for validation, and captions of photos."""
    folder = tmp_path_factory.mktemp("memes")
    (folder / "images").mkdir()
    rows: list[dict[str, str]] = []
    for number in range(14):
        upper, lower = JOKES[number % 4]
        name = f"images/{number}.jpg"
        if number % 2:
            image = draw_meme("caption_bar", upper, width=160 + 4 * number)
            text = f'Рыжий кот сидит на подоконнике и смотрит в окно. Надпись сверху: "{upper.capitalize()}".'
        else:
            image = draw_meme("two_frames", upper, lower, width=160 + 4 * number)
            text = (
                f'Мем из двух кадров. На первом рыжий кот днём и надпись: "{upper.capitalize()}". '
                f'На втором кот спит ночью на подоконнике, надпись: "{lower.capitalize()}".'
            )
        (folder / name).write_bytes(jpeg_bytes(image))
        rows.append({"file_name": name, "text": text})
    for split, own in (("train", rows[:12]), ("val", rows[12:])):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in own]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    captions = ["Рыжий кот сидит на подоконнике.", "Кот смотрит в окно."] * 25
    photos = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in captions]
    (folder / "photos.jsonl").write_text("".join(photos), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def readings(memes: Path, command: Commands) -> Path:
    out = memes / "runs" / "readings.jsonl"
    done = command("read", memes, "--out", out, "--processes", "1")
    assert done.status == 0, done.stderr
    return out


def train(
    command: Commands,
    memes: Path,
    readings: Path,
    work: Path,
    *options: str,
    photo_epochs: int = 1,
    kill_at: str = "",
    recipe: str = "{}",
) -> Done:
    return command(
        *("meme-small", memes, "--photos", memes / "photos.jsonl", "--readings", readings),
        *("--work", work, "--out", work / "checkpoint", "--photo-epochs", str(photo_epochs), *options),
        module="tests.train_scripts.tiny_recipe",
        environment={"KILL_AT": kill_at, "RECIPE": recipe},
    )


@pytest.fixture(scope="module")
def uninterrupted(
    command: Commands, memes: Path, readings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    work = tmp_path_factory.mktemp("uninterrupted")
    done = train(command, memes, readings, work)
    assert done.status == 0, done.stderr
    return work


def history(work: Path) -> list[dict[str, Any]]:
    rows = read_training(work / "checkpoint").training["history"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_reading_goes_on_after_a_row_torn_by_a_kill(command: Commands, memes: Path, readings: Path) -> None:
    whole = readings.read_bytes()
    rows = [json.loads(line) for line in whole.decode().splitlines()]
    assert [row["file_name"] for row in rows] == [f"images/{number}.jpg" for number in range(14)]
    words = [word for row in rows for word in row["words"]]
    texts, boxes, confidences, lines, turns = zip(*words, strict=True)
    assert "ПРОСНУЛСЯ" in texts
    assert all(0 <= side <= 1 for box in boxes for side in box)
    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert all(isinstance(line, int) for line in lines)
    assert set(turns) <= {0, 1, 2, 3}
    torn = readings.with_name("torn.jsonl")
    written = whole.splitlines(keepends=True)
    torn.write_bytes(b"".join(written[:12]) + written[12][:40])
    done = command("read", memes, "--out", torn, "--processes", "1")
    assert done.status == 0, done.stderr
    assert torn.read_bytes() == whole


def test_all_stages_run_and_the_record_says_how(uninterrupted: Path) -> None:
    rows = history(uninterrupted)
    assert [(row["stage"], row.get("epoch")) for row in rows] == STAGES
    assert all(0 < row["loss"] < 100 for row in rows[1:])
    assert 0 <= rows[0]["val_concept_ap"] <= 1
    memes_rows = [row for row in rows if row["stage"] == "memes"]
    assert all(0 < row["val_loss"] < 100 for row in memes_rows)
    assert memes_rows[-1]["val_loss"] < memes_rows[0]["val_loss"]
    folder = uninterrupted / "checkpoint"
    recipe = read_training(folder).training["recipe"]
    assert recipe["width"] == read_config(folder).decoder["width"] == 16
    assert "кот" in json.loads((folder / "concepts.json").read_text(encoding="utf-8"))["concepts"]
    assert len((folder / "config.json").read_text(encoding="utf-8").splitlines()) <= 80


def test_a_run_killed_twice_ends_where_an_uninterrupted_one_does(
    command: Commands, memes: Path, readings: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    for kill_at in ("language 1 save", "memes 2 step"):
        killed = train(command, memes, readings, tmp_path, kill_at=kill_at)
        assert killed.killed, killed.stderr
        assert not (tmp_path / "checkpoint").exists()
    done = train(command, memes, readings, tmp_path)
    assert done.status == 0, done.stderr
    # What was done before was not done again.
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"stage"')]
    assert [(row["stage"], row.get("epoch")) for row in printed] == [STAGES[0], *STAGES[3:]]
    assert history(tmp_path) == history(uninterrupted)
    one, other = (
        torch.load(work / "memes.pt", weights_only=True)["model"] for work in (tmp_path, uninterrupted)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "checkpoint" / WEIGHTS_FILE).read_bytes() == (
        uninterrupted / "checkpoint" / WEIGHTS_FILE
    ).read_bytes()


def test_a_run_that_a_full_disk_stopped_goes_on(
    command: Commands, memes: Path, readings: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    with files_of_at_most(50_000, command.pid):
        stopped = train(command, memes, readings, tmp_path)
    assert stopped.status == 1
    said = " ".join(stopped.stderr.split())
    assert f"The state of the run cannot be written to {tmp_path / 'seen.pt'} (File too large)" in said
    assert "make room there and run the same command again, it goes on from here." in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.part"))
    done = train(command, memes, readings, tmp_path)
    assert done.status == 0, done.stderr
    assert history(tmp_path) == history(uninterrupted)


def test_a_recipe_without_photos_whose_slots_are_words(
    command: Commands, memes: Path, readings: Path, tmp_path: Path
) -> None:
    done = train(command, memes, readings, tmp_path, "--copying", "slots", photo_epochs=0)
    assert done.status == 0, done.stderr
    assert [(row["stage"], row.get("epoch")) for row in history(tmp_path)] == [STAGES[0], *STAGES[2:]]
    assert read_config(tmp_path / "checkpoint").decoder["copying"] == "slots"
    (caption,) = load_captioner("checkpoint", tmp_path, threads=1).caption(
        [draw_meme("caption_bar", "СЛОВА")]
    )
    assert caption.words == ("СЛОВА",)


def error_of(done: Done) -> str:
    """The one sentence in which the command ended."""
    assert done.status == 1, done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return sentence


def test_the_state_of_another_run_is_refused(
    command: Commands, memes: Path, readings: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    weights = (uninterrupted / "checkpoint" / WEIGHTS_FILE).read_bytes()
    said = error_of(train(command, memes, readings, uninterrupted, recipe='{"batch": 4, "meme_rate": 0.5}'))
    assert f"{uninterrupted} holds the state of a run that was begun otherwise" in said
    assert "batch was 8, now it is 4; meme_rate was 0.0007, now it is 0.5" in said
    assert said.endswith("name another folder with --work, or delete that one to begin anew.")
    fewer = tmp_path / "readings.jsonl"
    fewer.write_bytes(readings.read_bytes() + readings.read_bytes().splitlines(keepends=True)[0])
    said = error_of(train(command, memes, fewer, uninterrupted))
    assert "(the file of readings is another): restore that" in said
    assert (uninterrupted / "checkpoint" / WEIGHTS_FILE).read_bytes() == weights
    unknown = tmp_path / "work"
    unknown.mkdir()
    (unknown / "memes.pt").write_bytes((uninterrupted / "memes.pt").read_bytes())
    said = error_of(train(command, memes, readings, unknown))
    assert "holds the state of a run, but not what it was made from" in said


def test_pictures_that_cannot_be_read_are_named_at_once(
    command: Commands, memes: Path, readings: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "memes"
    shutil.copytree(memes, broken)
    for number in (1, 5, 13):
        (broken / "images" / f"{number}.jpg").write_bytes(b"")
    begun = tmp_path / "begun.jsonl"
    begun.write_bytes(readings.read_bytes().splitlines(keepends=True)[0])
    for done in (
        train(command, broken, readings, tmp_path / "work"),
        command("read", broken, "--out", begun, "--processes", "1"),
    ):
        said = error_of(done)
        assert "3 pictures cannot be read (" in said
        assert all(str(broken / "images" / f"{number}.jpg") in said for number in (1, 5, 13))
    assert begun.read_bytes() == readings.read_bytes().splitlines(keepends=True)[0]
    assert not list((tmp_path / "work").glob("*.pt"))


def test_the_checkpoint_captions(uninterrupted: Path) -> None:
    captioner = load_captioner("checkpoint", uninterrupted, threads=1)
    words = "СОВСЕМ НОВЫЕ СЛОВА"
    for options in (None, DecodingOptions(strategy="sample", seed=1, max_tokens=40)):
        (caption,) = captioner.caption([draw_meme("caption_bar", words)], options)
        assert caption.words == (words,)
        spans = caption.text.split('"')
        assert len(spans) % 2 == 1
        assert set(" ".join(spans[1::2]).split()) <= set(words.split())
