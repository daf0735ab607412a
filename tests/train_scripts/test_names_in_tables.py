"""Tables that other systems wrote find their pictures, whichever command reads them."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from inference.common.file_names import AmbiguousNameError, name_of
from inference.reading.reader import Reader
from inference.reading.reading import Reading
from tests.drawing import draw_meme, png_bytes
from tests.train_scripts.drawn_data import small_config
from tests.train_scripts.feedback.exports import row
from tests.train_scripts.feedback.exports import write as write_export
from train_scripts.__main__ import app
from train_scripts.data.dataset import read_split
from train_scripts.data.exports import read_export
from train_scripts.feedback.pictures import read_pictures
from train_scripts.training.config import load_config
from train_scripts.training.data import read_rows
from train_scripts.training.inputs import read_stage, stage_readings

MAC = unicodedata.normalize("NFD", "йод.png")
OLD = os.fsdecode("кот.png".encode("cp866"))
NAMES = {  # as a table names a picture: as its file is called
    "йод.png": MAC,
    "A.PNG": "a.png",
    ".\\b.png": "b.png",
    "images\\c.jpg": "images/c.JPG",
    "./d.png": "d.png",
    "%D0%B5%20%D1%91.png": "е ё.png",
    name_of(OLD): OLD,
}
TEXTS = {name: f"Рыжий кот сидит на окне, и окон тут {number}." for number, name in enumerate(NAMES)}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for number, file in enumerate(NAMES.values()):
        (data / file).write_bytes(png_bytes(draw_meme("text_only", f"{number} " * (number + 3), width=200)))
    return data


def as_csv(folder: Path, *, separator: str = ",", encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    rows = [("file_name", "text"), *((name, f'"{text}"') for name, text in TEXTS.items())]
    path.write_bytes("".join(f"{separator.join(row)}\r\n" for row in rows).encode(encoding))
    return path


def as_metadata(folder: Path) -> Path:
    return write(folder / "metadata.jsonl", [{"file_name": k, "text": v} for k, v in TEXTS.items()])


@pytest.mark.parametrize(
    ("separator", "encoding"), [(",", "utf-8"), (",", "utf-8-sig"), (";", "utf-8-sig"), ("\t", "utf-8")]
)
def test_prepare_takes_every_picture_of_a_table(
    separator: str, encoding: str, folder: Path, tmp_path: Path
) -> None:
    table = as_csv(folder, separator=separator, encoding=encoding)
    done = run("prepare", "table", table, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows = [
        json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text("utf-8").splitlines()
    ]
    assert {row["text"] for row in rows} == set(TEXTS.values())
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in rows)
    again = run("prepare", "table", table, "--out", tmp_path / "out")
    assert again.exit_code == 0, again.output


def test_prepare_works_in_folders_of_any_name(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xea\xee\xf2\nb")
    folder.rename(odd)
    table = as_csv(odd)
    table.write_bytes(table.read_bytes() + "нет.png,Такой картинки нет.\r\n".encode())
    for _ in range(2):
        done = run("prepare", "table", table, "--out", odd / "out")
        assert done.exit_code == 0, done.output
    report = json.loads((odd / "out" / "prepare" / "report.json").read_text("utf-8"))
    assert report["rows"]["written"] == len(TEXTS)
    assert report["left_out"][0]["reason"] == "picture missing"
    assert "%EA%EE%F2" in report["left_out"][0]["sentence"]


def test_a_data_set_is_read_with_every_picture(folder: Path) -> None:
    as_metadata(folder)
    wanted = [folder / file for file in NAMES.values()]
    assert [row.picture for row in read_split(folder, "train")] == wanted
    assert [row.picture for row in read_rows(folder, "train")] == wanted
    assert [one.path for one in read_pictures(folder, NAMES, {}, Unread(), "drawn")] == wanted


class Unread(Reader):
    """A reader for which nothing is written anywhere."""

    def __init__(self) -> None:
        """Without the networks."""

    def read(self, image: Image.Image) -> Reading:
        return Reading(image.size)


def test_readings_meet_their_pictures(folder: Path) -> None:
    """Of one picture in the table's words, and of others in those of the disk."""
    as_metadata(folder)
    names = [name if number % 2 else name_of(file) for number, (name, file) in enumerate(NAMES.items())]
    kept = write(folder / "readings.jsonl", [{"file_name": n, "size": [9, 9], "words": []} for n in names])
    config = load_config(small_config(folder, words="slots", readings={"drawn": str(kept)}))
    found = stage_readings(config, {"drawn": read_stage(config, "drawn")})
    assert found is not None
    assert set(found) == {folder / file for file in NAMES.values()}


def test_an_export_that_was_unpacked_on_another_system_is_whole(tmp_path: Path) -> None:
    names = ["images/йод.jpg", "images\\b.jpg", "images/C.JPG"]
    write_export(tmp_path / "export", [row(name, correction="Кот.") for name in ("images/йод.jpg",)])
    images = tmp_path / "export" / "images"
    (images / "йод.jpg").rename(images / unicodedata.normalize("NFD", "йод.jpg"))
    for name in ("b.jpg", "c.jpg"):
        (images / name).write_bytes((images / unicodedata.normalize("NFD", "йод.jpg")).read_bytes())
    write(tmp_path / "export" / "metadata.jsonl", [row(name, correction="Кот.") for name in names])
    assert [one.file_name for one in read_export(tmp_path / "export").rows] == names


def test_predictions_meet_references_that_another_system_named(folder: Path, tmp_path: Path) -> None:
    references = as_metadata(folder)
    said = [{"file_name": name_of(NAMES[name]), "text": text} for name, text in TEXTS.items()]
    predictions = write(tmp_path / "said.jsonl", said)
    scores, page = tmp_path / "scores.json", tmp_path / "page.html"
    for given in (references, folder, as_csv(folder, encoding="utf-8-sig")):
        done = run("evaluate", predictions, given, "--json", scores)
        assert done.exit_code == 0, done.output
        assert json.loads(scores.read_text("utf-8"))["scores"]["bleu4"]["value"] == pytest.approx(1)
    worse = write(tmp_path / "worse.jsonl", [{**row, "text": "Пёс."} for row in said])
    done = run("compare", worse, predictions, "--references", references, "--sheet", page)
    assert done.exit_code == 0, done.output
    assert page.read_text("utf-8").count("<img") == len(NAMES)
    assert "cannot be read" not in page.read_text("utf-8")


def test_two_pictures_that_may_be_meant_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    (folder / "A.Png").write_bytes((folder / "a.png").read_bytes())
    as_metadata(folder)
    table = as_csv(folder)
    with pytest.raises(AmbiguousNameError):
        read_rows(folder, "train")
    done = run("prepare", "table", table, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: A.PNG may be any of ")
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


def test_two_predictions_of_one_picture_are_one_sentence(tmp_path: Path) -> None:
    wanted = write(tmp_path / "wanted.jsonl", [{"file_name": "a.png", "text": "Кот."}])
    rows = [{"file_name": name, "text": "Кот."} for name in ("A.png", "A.PNG")]
    done = run("evaluate", write(tmp_path / "said.jsonl", rows), wanted)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: A.PNG may be the name of another row as well")


def test_a_name_that_breaks_lines_is_shown_on_one(tmp_path: Path) -> None:
    references = write(tmp_path / "a.jsonl", [{"file_name": "a\nb\x1b.png", "text": "Кот."}])
    other = write(tmp_path / "b.jsonl", [{"file_name": "c.png", "text": "Кот."}])
    done = run("evaluate", other, references)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "a\\nb\\x1b.png" in done.stderr
