"""`python -m train_scripts prepare`: one format, every row accounted for, nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from inference.checkpoints.names import HubModel
from inference.common.errors import UserError
from inference.common.locks import locked
from tests.drawing import jpeg_bytes
from tests.inference.hub_cache import ENGLISH, publish, save_marian
from tests.train_scripts.data.pictures import drawn, read_rows, save, write_rows
from tests.train_scripts.feedback.exports import row as feedback_row
from tests.train_scripts.feedback.exports import write as write_export
from train_scripts.__main__ import app
from train_scripts.data.dataset import read_split
from train_scripts.data.pictures import safe_names
from train_scripts.data.translate import text_key, translate

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def report(out: Path) -> dict[str, Any]:
    """The report, whose counts add up."""
    found: dict[str, Any] = json.loads((out / "prepare" / "report.json").read_text("utf-8"))
    rows = found["rows"]
    assert rows["read"] == rows["written"] + rows["undescribed"] + sum(rows["left_out"].values())
    assert len(found["left_out"]) == sum(rows["left_out"].values())
    described = [one for name in ("metadata.jsonl", "undescribed.jsonl") for one in maybe(out / name)]
    assert len(described) == rows["written"] + rows["undescribed"]
    assert sum(split["rows"] for split in found["splits"].values()) == len(described)
    files = {path.relative_to(out).as_posix() for path in (out / "images").rglob("*") if path.is_file()}
    assert files == {one["file_name"] for one in described}
    return found


def maybe(path: Path) -> list[dict[str, Any]]:
    return read_rows(path) if path.exists() else []


@pytest.fixture
def memes(tmp_path: Path) -> Path:
    """Five good pictures of which two are the same, a broken one, a missing one, one outside the folder."""
    folder = tmp_path / "memes"
    for i in range(4):
        save(folder / "images" / f"{i}.jpg", i)
    (folder / "images" / "4.jpg").write_bytes(jpeg_bytes(drawn(0), quality=50))
    (folder / "images" / "5.jpg").write_bytes(b"\xff\xd8\xff no picture")
    save(tmp_path / "secret.jpg", 9)
    train = ["0.jpg", "1.jpg", "1.jpg", "1.jpg", "2.jpg", "5.jpg", "6.jpg", "../../secret.jpg"]
    texts = ["нуль", "один", "один", "одна", "", "пять", "шесть", "тайна"]
    rows = [{"file_name": f"images/{n}", "text": t} for n, t in zip(train, texts, strict=True)]
    write_rows(folder / "train.jsonl", rows)
    write_rows(
        folder / "val.jsonl",
        [{"file_name": "images/4.jpg", "text": "четыре"}, {"file_name": "images/3.jpg", "text": "три"}],
    )
    return folder


def test_every_row_is_written_or_named_with_its_reason(tmp_path: Path, memes: Path) -> None:
    out = tmp_path / "out"
    done = run("table", memes / "train.jsonl", memes / "val.jsonl", "--out", out)
    assert done.exit_code == 0, done.output
    rows = {
        (row["file_name"], row["text"], row["split"], row["source"])
        for row in read_rows(out / "metadata.jsonl")
    }
    assert rows == {
        ("images/1.jpg", "один", "train", "train"),
        ("images/1.jpg", "одна", "train", "train"),
        ("images/4.jpg", "четыре", "val", "val"),
        ("images/3.jpg", "три", "val", "val"),
    }
    assert [row["file_name"] for row in read_rows(out / "undescribed.jsonl")] == ["images/2.jpg"]
    found = report(out)
    assert found["rows"]["left_out"] == {
        "picture missing": 2,
        "picture broken": 1,
        "duplicate picture": 1,
        "repeated row": 1,
    }
    sentences = {one["reason"]: one["sentence"] for one in found["left_out"]}
    train = memes / "train.jsonl"
    assert sentences["picture broken"].startswith(
        f"{train}, line 6, {memes / 'images' / '5.jpg'}: The picture is damaged"
    )
    assert sentences["duplicate picture"] == (
        f"{train}, line 1, images/0.jpg shows the same as images/4.jpg (val)."
    )
    assert sentences["repeated row"] == f"{train}, line 3, repeats a row of images/1.jpg word for word."
    assert sum(1 for sentence in sentences.values() if sentence in done.stderr) == len(sentences)
    (pair,) = found["duplicates"]
    assert (pair["picture"], pair["of"], pair["left_out"]) == ("images/0.jpg", "images/4.jpg", True)
    assert pair["distance"] <= 12
    markdown = (out / "prepare" / "report.md").read_text("utf-8")
    assert "| images/0.jpg | train | images/4.jpg | val | left out |" in markdown
    assert "| Left out: picture missing | 2 |" in markdown
    assert [row.text for row in read_split(out, "val")] == ["четыре", "три"]
    assert (out / "images" / "3.jpg").read_bytes() == (memes / "images" / "3.jpg").read_bytes()


def test_texts_cut_within_an_emoji_are_kept(tmp_path: Path) -> None:
    """JSON can hold one half of it, a file in UTF-8 cannot."""
    save(tmp_path / "a.jpg", 1)
    rows = [
        r'{"file_name": "a.jpg", "text": "кот \ud83d"}',
        r'{"file_name": "a.jpg", "text": "кот \ud83d\ude00"}',
        r'{"file_name": "\ud83d.jpg", "text": "кот"}',
        r'{"file_name": "a.jpg", "text": "кот", "split": "\ude00"}',
    ]
    (tmp_path / "memes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    done = run("table", tmp_path / "memes.jsonl", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert [row["text"] for row in read_rows(tmp_path / "out" / "metadata.jsonl")] == ["кот ?", "кот 😀"]
    assert report(tmp_path / "out")["rows"]["left_out"] == {"picture missing": 1, "damaged row": 1}


def test_datasets_reads_it(tmp_path: Path, memes: Path) -> None:
    import datasets

    out = tmp_path / "out"
    assert run("table", memes / "val.jsonl", memes / "train.jsonl", "--out", out).exit_code == 0
    cache = tmp_path / "cache"
    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=str(cache), split="train")
    assert [row["text"] for row in loaded if row["text"]] == [
        row["text"] for row in read_rows(out / "metadata.jsonl")
    ]
    assert loaded[0]["image"].size == (96, 96)


def test_the_same_command_again_changes_nothing_and_opens_no_picture(tmp_path: Path, memes: Path) -> None:
    out = tmp_path / "out"
    command = ("table", memes / "train.jsonl", memes / "val.jsonl", "--out", out)
    assert run(*command).exit_code == 0
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}
    journal = read_rows(out / "prepare" / "pictures.jsonl")
    assert len(journal) == len({row["path"] for row in journal}) == 6
    assert run(*command).exit_code == 0
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.jsonl"))} == before
    # A picture that has changed is opened again, and taken again.
    save(memes / "images" / "3.jpg", 33)
    assert run(*command).exit_code == 0
    assert len(read_rows(out / "prepare" / "pictures.jsonl")) == 7
    assert (out / "images" / "3.jpg").read_bytes() == (memes / "images" / "3.jpg").read_bytes()
    report(out)


def test_it_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    source = tmp_path / "many"
    rows = []
    big = jpeg_bytes(drawn(1, side=1500))
    for i in range(130):
        name = f"images/{i}.jpg"
        save(source / name, i)
        with (source / name).open("ab") as file:  # the same pixels, behind each a number of its own
            file.write(str(i).encode())
        rows.append({"file_name": name, "text": f"текст {i}"})
    (source / "images" / "129.jpg").write_bytes(big)
    write_rows(source / "train.jsonl", rows)
    out = tmp_path / "out"
    arguments = [sys.executable, "-m", "train_scripts", "prepare", "table"]
    command = [*arguments, str(source / "train.jsonl"), "--out", str(out)]
    journal = out / "prepare" / "pictures.jsonl"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while not (journal.exists() and journal.stat().st_size):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    done = len(journal.read_text("utf-8").splitlines())
    assert 0 < done < 130
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"path": "torn')  # what a kill in the middle of a write leaves
    assert run("table", source / "train.jsonl", "--out", out).exit_code == 0
    opened = [row["path"] for row in read_rows(journal)]
    assert len(opened) == len(set(opened)) == 130
    found = report(out)
    assert found["rows"]["read"] == 130


@pytest.mark.parametrize("damaged", [b"{\n", b"\xff\xfe\n", b'{"path": "x"}\n'])
def test_a_damaged_line_within_a_journal_gets_a_sentence_that_helps(
    damaged: bytes, tmp_path: Path, memes: Path
) -> None:
    command = ("table", memes / "train.jsonl", "--out", tmp_path / "out")
    assert run(*command).exit_code == 0
    rows = (tmp_path / "out" / "metadata.jsonl").read_bytes()
    journal = tmp_path / "out" / "prepare" / "pictures.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], damaged, *lines[2:]]))
    done = run(*command)
    assert (done.exit_code, done.stderr.count("Error:")) == (1, 1), done.output
    assert f"Error: {journal}, line 2, is damaged: remove the line, what it stood for is then" in done.stderr
    journal.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert run(*command).exit_code == 0
    assert len(read_rows(journal)) == len(lines)
    assert (tmp_path / "out" / "metadata.jsonl").read_bytes() == rows


def test_another_command_does_not_write_into_the_folder(tmp_path: Path, memes: Path) -> None:
    out = tmp_path / "out"
    assert run("table", memes / "val.jsonl", "--out", out).exit_code == 0
    other = run("table", memes / "train.jsonl", "--out", out)
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert f"{out} holds another data set" in other.stderr
    full = run("table", memes / "val.jsonl", "--out", memes)
    assert (full.exit_code, full.stderr.count("\n")) == (1, 1)
    assert f"{memes} is not empty: give a new folder." in full.stderr
    assert sorted(path.name for path in memes.iterdir()) == ["images", "train.jsonl", "val.jsonl"]


def test_two_at_once_do_not_write_into_one_folder(tmp_path: Path, memes: Path) -> None:
    out = tmp_path / "out"
    assert run("table", memes / "train.jsonl", "--out", out).exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with locked(out / "prepare"):
        done = run("table", memes / "train.jsonl", "--out", out)
    assert done.exit_code == 1
    assert "is being prepared by another process: wait for it" in " ".join(done.output.split())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert run("table", memes / "train.jsonl", "--out", out).exit_code == 0


def test_a_folder_that_cannot_be_written_gets_one_sentence(tmp_path: Path, memes: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = run("table", memes / "val.jsonl", "--out", tmp_path / "file" / "out")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "cannot be used (Not a directory): give another folder." in done.stderr


def test_pictures_may_be_linked(tmp_path: Path, memes: Path) -> None:
    assert run("table", memes / "val.jsonl", "--out", tmp_path / "out", "--link").exit_code == 0
    assert (tmp_path / "out" / "images" / "3.jpg").samefile(memes / "images" / "3.jpg")


def test_splits_are_drawn_by_the_pictures_name(tmp_path: Path) -> None:
    def splits(count: int, out: Path) -> dict[str, str]:
        folder = out.with_name(f"{out.name}-source")
        rows = []
        for i in range(count):
            save(folder / f"{i}.jpg", i)
            rows += [{"file_name": f"{i}.jpg", "text": f"{kind} {i}"} for kind in ("кот", "пёс")]
        write_rows(folder / "memes.jsonl", rows)
        assert run("table", folder / "memes.jsonl", "--out", out, "--val", 0.2, "--test", 0.1).exit_code == 0
        report(out)
        return {row["file_name"]: row["split"] for row in read_rows(out / "metadata.jsonl")}

    few, many = splits(30, tmp_path / "few"), splits(60, tmp_path / "many")
    assert few.items() <= many.items()
    shares = [list(many.values()).count(split) for split in ("train", "val", "test")]
    assert sum(shares) == 60
    assert shares[0] > shares[1] > shares[2] > 0


def test_a_picture_of_two_splits_is_held_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 1)
    rows = [{"file_name": "a.jpg", "text": split, "split": split} for split in ("train", "val", "train")]
    file = write_rows(tmp_path / "memes.jsonl", [*rows, {"file_name": "a.jpg", "text": "ещё"}])
    out = tmp_path / "out"
    assert run("table", file, "--out", out).exit_code == 0
    assert [(r["text"], r["split"]) for r in read_rows(out / "metadata.jsonl")] == [
        ("val", "val"),
        ("ещё", "val"),
    ]
    assert report(out)["rows"]["left_out"] == {"picture of two splits": 2}


def test_what_another_data_set_holds_out_is_not_trained_on(tmp_path: Path, memes: Path) -> None:
    new = tmp_path / "new"
    (new / "images").mkdir(parents=True)
    shutil.copyfile(memes / "images" / "3.jpg", new / "images" / "copy.jpg")
    save(new / "images" / "other.jpg", 77)
    rows = [{"file_name": f"images/{name}.jpg", "text": name} for name in ("copy", "other")]
    write_rows(new / "posts.jsonl", rows)
    out = tmp_path / "out"
    done = run("table", new / "posts.jsonl", "--out", out, "--against", memes)
    assert done.exit_code == 0, done.output
    assert [row["text"] for row in read_rows(out / "metadata.jsonl")] == ["other"]
    (pair,) = report(out)["duplicates"]
    assert (pair["of"], pair["of_split"]) == (str(memes / "images" / "3.jpg"), "held out")
    wrong = run("table", new / "posts.jsonl", "--out", tmp_path / "o", "--against", new)
    assert "holds neither metadata.jsonl nor val.jsonl" in wrong.stderr


# English --------------------------------------------------------------------------------------------------


@pytest.fixture
def english(tmp_path: Path) -> list[str | Path]:
    folder = tmp_path / "photos"
    lines = ["image_name| comment_number| comment"]
    for i, text in enumerate(ENGLISH):
        save(folder / f"{i}.jpg", i)
        lines.append(f"{i}.jpg| 0| {text}")
    (tmp_path / "results.csv").write_text("\n".join(lines))
    return ["flickr30k", folder, "--captions", tmp_path / "results.csv", "--out", tmp_path / "out"]


def test_english_is_translated_by_the_named_model_once(tmp_path: Path, english: list[str | Path]) -> None:
    cache = tmp_path / "models"
    publish(cache, "tiny/en-ru", save_marian)
    command = [*english, "--translate", "tiny/en-ru", "--models-dir", cache]
    done = run(*command)
    assert done.exit_code == 0, done.output
    rows = read_rows(tmp_path / "out" / "metadata.jsonl")
    assert [row["original"] for row in rows] == list(ENGLISH)
    from inference.captioners.hub.translation import Translator

    assert [row["text"] for row in rows] == Translator(HubModel("tiny/en-ru"), cache).translate(ENGLISH)
    assert report(tmp_path / "out")["notes"] == {"Translated by tiny/en-ru": len(ENGLISH)}
    # What is translated needs no model any more, not even on the disk.
    shutil.rmtree(cache)
    assert run(*command).exit_code == 0
    assert read_rows(tmp_path / "out" / "metadata.jsonl") == rows


def test_english_is_refused_unless_one_says_what_to_do(tmp_path: Path, english: list[str | Path]) -> None:
    done = run(*english)
    assert done.exit_code == 1
    assert (
        f"{tmp_path / 'results.csv'}, line 2, is in English: have it translated (--translate" in done.stderr
    )
    assert run(*english, "--keep-english").exit_code == 0
    row = read_rows(tmp_path / "out" / "metadata.jsonl")[0]
    assert row["text"] == row["original"] == ENGLISH[0]


class Dictionary:
    """Translates by turning texts round, and fails where it is told to."""

    def __init__(self, fails_at: int = 10**9) -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def translate(self, texts: Sequence[str]) -> list[str]:
        if len(self.asked) + len(texts) > self.fails_at:
            raise OSError(28, "No space left on device")
        self.asked += texts
        return [text[::-1] for text in texts]


def test_translation_goes_on_where_it_stopped_and_knows_models_apart(tmp_path: Path) -> None:
    texts = [f"text number {i}" for i in range(150)]
    cache = tmp_path / "translations.jsonl"
    first = Dictionary(fails_at=100)
    with pytest.raises(OSError, match="No space"):
        translate(texts, "a/b", cache, lambda: first)
    assert len(first.asked) == 64
    with cache.open("a", encoding="utf-8") as file:
        file.write('{"model": "a/b", "key": "torn')
    second = Dictionary()
    assert translate(texts * 2, "a/b", cache, lambda: second) == {text: text[::-1] for text in texts}
    assert sorted(first.asked + second.asked) == sorted(texts)
    third = Dictionary()
    translate(texts[:3], "a/other", cache, lambda: third)
    assert sorted(third.asked) == texts[:3]
    assert text_key("t", "a") != text_key("t", "b")


# The bot's export -----------------------------------------------------------------------------------------


def test_the_bots_export(tmp_path: Path) -> None:
    rows = [
        feedback_row("images/0.jpg", correction="Рыжий кот."),
        feedback_row("images/1.jpg", rating=5, caption="Пёс."),
        feedback_row("images/1.jpg", rating=2, caption="Дом."),
        feedback_row(None, rating=5),
    ]
    folder = write_export(tmp_path / "feedback", rows)
    save(folder / "images" / "1.jpg", 1)
    out = tmp_path / "out"
    done = run("export", folder, "--out", out)
    assert done.exit_code == 0, done.output
    assert {(r["file_name"], r["text"], r["source"]) for r in read_rows(out / "metadata.jsonl")} == {
        ("images/0.jpg", "Рыжий кот.", "feedback"),
        ("images/1.jpg", "Пёс.", "feedback"),
    }
    assert report(out)["rows"]["left_out"] == {"mark too low": 1, "picture not kept": 1}
    other = run("export", tmp_path, "--out", tmp_path / "other")
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert "is no export of the bot" in other.stderr


# Names ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(alphabet="abАя./\\: \0-~$\n", min_size=1, max_size=30), max_size=6))
def test_no_name_leaves_the_folder_or_is_used_twice(names: list[str]) -> None:
    files = sorted((ROOT / "tests").glob("*.py"))[:2] + sorted((ROOT / "tests" / "bot").glob("*.py"))[:4]
    given_names = [(f"{name}.jpg", path) for name, path in zip(names, files, strict=False)]
    found = safe_names(given_names)
    assert len({name.casefold() for name in found.values()}) == len(names)
    for name in found.values():
        parts = Path(name).parts
        assert parts[0] == "images"
        assert len(parts) > 1
        assert not any(part.startswith(".") or part in {"", ".."} for part in parts)
        assert not set(name) & set("\\\0:~$ \n")


def test_names_that_are_safe_stay(tmp_path: Path) -> None:
    webp = tmp_path / "x"
    webp.write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    names = {
        "COCO_val2014_000000000042.jpg": "images/COCO_val2014_000000000042.jpg",
        "images/Кот (1).jpg": "images/Кот_(1)-",
        "val2014/1.png": "images/val2014/1.png",
    }
    for name, start in names.items():
        (found,) = safe_names([(name, tmp_path / name)]).values()
        assert found.startswith(start)
    (found,) = safe_names([("picture", webp)]).values()
    assert found.endswith(".webp")


@pytest.mark.parametrize("letter", ["x", "ж", "漢"])
def test_a_name_as_long_as_the_system_takes_is_cut(letter: str, tmp_path: Path) -> None:
    name = letter * (250 // len(letter.encode())) + " .jpg"  # 255 bytes, and a space that has to go
    save(tmp_path / name, 1)
    write_rows(tmp_path / "memes.jsonl", [{"file_name": name, "text": "кот"}])
    done = run("table", tmp_path / "memes.jsonl", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    (row,) = read_rows(tmp_path / "out" / "metadata.jsonl")
    assert (tmp_path / "out" / row["file_name"]).read_bytes() == (tmp_path / name).read_bytes()
    assert row["file_name"].startswith(f"images/{letter * 60}")


def test_a_split_that_is_not_there_or_a_row_that_is_damaged_gets_a_sentence(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "metadata.jsonl", [{"file_name": "a.jpg", "text": "кот", "split": "train"}])
    assert [row.picture for row in read_split(tmp_path, "train")] == [tmp_path / "a.jpg"]
    with pytest.raises(UserError, match="no rows of the split val"):
        read_split(tmp_path, "val")
    for row in ({"file_name": "../a.jpg", "text": "кот"}, {"file_name": "a.jpg"}):
        write_rows(file, [{"file_name": "b.jpg", "text": "кот"}, row])
        with pytest.raises(UserError, match=r"metadata\.jsonl, line 2, has no"):
            read_split(tmp_path, "train")
