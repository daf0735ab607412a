"""The commands of the shipped model's recipe on files that are not there, damaged or of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.reading.scorer import SCORER_FILE
from tests.drawing import draw_meme, jpeg_bytes
from tests.train_scripts.data.pictures import write_rows
from tests.train_scripts.feedback.exports import row as feedback_row
from tests.train_scripts.feedback.exports import write as write_export
from train_scripts.__main__ import app

Arguments = list[str | Path]


def error_of(*arguments: str | Path) -> str:
    """The one sentence in which the command ends."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert (done.exit_code, type(done.exception)) == (1, SystemExit), repr(done.exception)
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return sentence.removeprefix("Error: ")


@pytest.fixture
def memes(tmp_path: Path) -> Path:
    """A drawn meme for training and one for validation, captions of photos, what was read, and an export."""
    folder = tmp_path / "memes"
    (folder / "images").mkdir(parents=True)
    readings = []
    for split in ("train", "val"):
        name = f"images/{split}.jpg"
        (folder / name).write_bytes(jpeg_bytes(draw_meme("caption_bar", "КОТ СПИТ", width=160)))
        row = {"file_name": name, "text": 'Кот у окна, подпись: "Дом".'}
        write_rows(folder / f"{split}.jsonl", [row] * 8)
        word = ["СПИТ", [0.1, 0.1, 0.3, 0.2], 0.9, 0]
        readings.append({"file_name": name, "size": [160, 160], "words": [word]})
    write_rows(folder / "readings.jsonl", readings)
    write_rows(folder / "photos.jsonl", [{"text": "Кот сидит."}])
    write_export(folder / "export", [feedback_row("images/0.jpg", correction="Кот спит.")])
    return folder


def read(memes: Path) -> Arguments:
    return ["read", memes, "--out", memes / "out.jsonl", "--processes", "1"]


def line_scorer(memes: Path) -> Arguments:
    return ["line-scorer", memes, "--readings", memes / "readings.jsonl"]


def meme_small(memes: Path) -> Arguments:
    files: Arguments = ["--photos", memes / "photos.jsonl", "--readings", memes / "readings.jsonl"]
    return ["meme-small", memes, *files, "--work", memes / "work", "--out", memes / "checkpoint"]


def recognizer(memes: Path) -> Arguments:
    out = memes / "reader.safetensors"
    return ["recognizer", memes, "--pretrained", memes, "--photos", memes / "photos.jsonl", "--out", out]


def finetune(memes: Path) -> Arguments:
    models = Path(__file__).resolve().parents[2] / "checkpoints"
    own: Arguments = ["--model", "meme-small", "--models-dir", models, "--readings", memes / "readings.jsonl"]
    return ["finetune", "--feedback", memes / "export", "--data", memes, "--out", memes / "finetuned", *own]


ROWS = [
    (b"", "has no rows"),
    ("{}\n".encode("utf-16"), "line 1, is not UTF-8: save the file as UTF-8."),
    (b'{"file_name": "a', "line 1, is not valid JSON"),
    (b"[1]\n", "line 1, is not an object"),
    (b'{"text": "a"}\n', 'line 1, has no "file_name"'),
    (b'{"file_name": 5, "text": "a"}\n', 'line 1, has no "file_name"'),
    (b'{"file_name": "images/train.jpg"}\n', 'line 1, has no "text" for images/train.jpg'),
]


@pytest.mark.parametrize(("content", "sentence"), ROWS, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("command", [read, line_scorer, meme_small, recognizer, finetune])
def test_rows_that_are_none_are_named(
    command: Callable[[Path], Arguments], content: bytes, sentence: str, memes: Path
) -> None:
    (memes / "train.jsonl").write_bytes(content)
    said = error_of(*command(memes))
    assert said.startswith(str(memes / "train.jsonl"))
    assert sentence in said


@pytest.mark.parametrize("command", [read, line_scorer, meme_small, recognizer, finetune])
def test_a_missing_file_of_rows_is_named(command: Callable[[Path], Arguments], memes: Path) -> None:
    (memes / "train.jsonl").unlink()
    assert error_of(*command(memes)).startswith(f"{memes / 'train.jsonl'} ")


@pytest.mark.parametrize("command", [meme_small, recognizer])
def test_photo_captions_without_a_text_are_named(command: Callable[[Path], Arguments], memes: Path) -> None:
    (memes / "photos.jsonl").write_text('{"text": "Кот."}\n{"caption": "Пёс."}\n', encoding="utf-8")
    assert error_of(*command(memes)).startswith(f'{memes / "photos.jsonl"}, line 2, has no "text": add')


@pytest.mark.parametrize(
    "damaged",
    ['{"file_name": "a"}', '{"file_name": "a", "size": [1, 2], "words": [["a", [1, 2], 1, 0]]}', "{"],
)
@pytest.mark.parametrize("command", [line_scorer, meme_small, finetune])
def test_damaged_readings_are_named(command: Callable[[Path], Arguments], damaged: str, memes: Path) -> None:
    with (memes / "readings.jsonl").open("a", encoding="utf-8") as file:
        file.write(damaged + "\n")
    before = SCORER_FILE.read_bytes()
    assert error_of(*command(memes)).startswith(f"{memes / 'readings.jsonl'}, line 3, is not ")
    assert SCORER_FILE.read_bytes() == before


def test_readings_of_other_pictures_teach_the_scorer_nothing(memes: Path) -> None:
    assert "No description quotes what was read on its picture" in error_of(*line_scorer(memes))


def test_places_that_cannot_be_written_are_named(memes: Path) -> None:
    taken = memes / "photos.jsonl"  # a file where a folder is wanted
    said = error_of(*read(memes), "--out", taken / "out.jsonl")
    assert said.startswith(f"{taken / 'out.jsonl'} cannot be written (")
    assert "Is a directory" in error_of(*read(memes), "--out", memes)
    said = error_of(*meme_small(memes), "--work", taken)
    assert said == f"{taken} cannot be written (File exists): name another folder with --work."
    assert error_of(*meme_small(memes), "--out", taken).startswith(f"{taken} cannot be written (")
    for out in (taken, taken / "out"):
        assert error_of(*finetune(memes), "--out", out).startswith(f"{out} cannot be used (")


def test_a_run_that_never_began_goes_on_with_the_mended_files(memes: Path) -> None:
    """What an error says to mend must not be refused as another run's."""
    rows = (memes / "train.jsonl").read_bytes()
    row = json.loads(rows.splitlines()[0])
    write_rows(memes / "train.jsonl", [row, row | {"file_name": "images/none.jpg"}])
    assert "images/none.jpg cannot be read (No such file or directory)" in error_of(*meme_small(memes))
    (memes / "train.jsonl").write_bytes(rows)
    (memes / "encoder.pth").write_bytes(b"no weights")
    said = error_of(*meme_small(memes), "--encoder", memes / "encoder.pth")
    assert said.startswith(f"{memes / 'encoder.pth'} is damaged or no weight file")


def test_a_picture_described_twice_is_read_once(memes: Path) -> None:
    (memes / "val.jsonl").write_bytes((memes / "train.jsonl").read_bytes())
    done = CliRunner().invoke(app, list(map(str, read(memes))))
    assert done.exit_code == 0, done.output
    assert len((memes / "out.jsonl").read_text("utf-8").splitlines()) == 1


def test_the_recogniser_says_what_it_starts_from(memes: Path) -> None:
    said = error_of(*recognizer(memes))
    assert said == (
        f"{memes / 'PP-OCRv6_det_small.onnx'} is not there: give --pretrained the folder models/ of rapidocr."
    )
    (memes / "fonts").mkdir()
    assert f"No font in {memes / 'fonts'} has Cyrillic" in error_of(
        *recognizer(memes), "--fonts", memes / "fonts"
    )
