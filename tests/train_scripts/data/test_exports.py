"""What an export says, in any of its formats, and what may no longer be used."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from bot.feedback.export import export
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat, meme
from tests.train_scripts.feedback.exports import row, write
from train_scripts.data.exports import ExportError, read_export
from train_scripts.feedback.lessons import learn_from


@pytest.mark.parametrize("format", ["imagefolder", "csv", "parquet"])
async def test_every_format_says_the_same(
    tmp_path: Path, format: Literal["imagefolder", "csv", "parquet"]
) -> None:
    correction = 'Кот говорит: "ВТОРАЯ",\nи спит'
    async with await Store.open(f"sqlite:///{tmp_path}/bot.db", tmp_path / "data") as store:
        chat = Chat(store)
        anna, vera = await chat.person(1), await chat.person(2, consent=False)
        first = await chat.answer(anna, meme("ПЕРВАЯ"))
        await store.marks.rate(anna.id, first.id, 5)
        second = await chat.answer(anna, meme("ВТОРАЯ"))
        await store.marks.correct(anna.id, second.id, correction)
        third = await chat.answer(vera, meme("ТРЕТЬЯ"))
        await store.marks.correct(vera.id, third.id, "+7, без картинки")
        await export(store, tmp_path / "out", format=format)
    found = read_export(tmp_path / "out")
    marked, without, corrected = sorted(found.rows, key=lambda row: row.correction or "")
    assert (marked.rating, marked.correction) == (5, None)
    assert marked.caption == corrected.caption == "На картинке кот спит."
    assert (corrected.rating, corrected.correction) == (None, correction)
    assert (without.file_name, without.correction) == (None, "+7, без картинки")
    assert corrected.file_name is not None
    assert (tmp_path / "out" / corrected.file_name).read_bytes() == meme("ВТОРАЯ")
    lessons = learn_from(found)
    assert (lessons.rows, lessons.without_picture) == (3, 1)
    assert lessons.corrections == {corrected.file_name: correction}


async def test_who_was_erased_leaves_an_earlier_export(tmp_path: Path) -> None:
    """Also what others said about that person's pictures; what they said of their own stays."""
    async with await Store.open(f"sqlite:///{tmp_path}/bot.db", tmp_path / "data") as store:
        chat = Chat(store)
        anna, boris = await chat.person(1), await chat.person(2)
        hers, his = await chat.answer(anna, meme("ЕЁ")), await chat.answer(boris, meme("ЕГО"))
        await store.marks.correct(anna.id, hers.id, "Её слова")
        await store.marks.correct(boris.id, hers.id, "Его слова о её картинке")
        await store.marks.correct(boris.id, his.id, "Его слова")
        await store.marks.correct(anna.id, his.id, "Её слова о его картинке")
        await export(store, tmp_path / "old")
        await store.erasure.erase(anna.id)
        await export(store, tmp_path / "new")
    assert read_export(tmp_path / "old").erased == 0
    left = read_export(tmp_path / "old", tmp_path / "new" / "erased.jsonl")
    assert [row.correction for row in left.rows] == ["Его слова"]
    assert left.erased == 3
    assert [row.correction for row in read_export(tmp_path / "new").rows] == ["Его слова"]


def test_a_picture_that_may_be_kept_again_is_used_again(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    folder = write(tmp_path / "out", [row(correction="Кот.")], made_at=now.isoformat())
    tombstone = {"picture": row()["picture"], "erased_at": (now - timedelta(hours=1)).isoformat()}
    with (folder / "erased.jsonl").open("a") as file:
        file.write(json.dumps(tombstone) + "\n")
    assert read_export(folder).erased == 0


def test_an_old_export_needs_a_list_of_today(tmp_path: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    folder = write(tmp_path / "out", [row(correction="Кот.")], made_at=old)
    with pytest.raises(ExportError, match=r"asked to be erased since: export again, or give .*--erased"):
        read_export(folder)
    newer = tmp_path / "erased.jsonl"
    newer.write_text(json.dumps({"made_at": datetime.now(UTC).isoformat()}) + "\n")
    assert len(read_export(folder, newer).rows) == 1
    newer.write_text(json.dumps({"made_at": old}) + "\n")
    with pytest.raises(ExportError, match="erased since"):
        read_export(folder, newer)
    newer.write_text('{"made_at": "soon"}\n')
    with pytest.raises(ExportError, match=r"erased\.jsonl, line 1"):
        read_export(folder, newer)
    with pytest.raises(ExportError, match="is not there"):
        read_export(folder, tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ('{"file_name": "images/0.jpg", "te', r"metadata\.jsonl, line 2, is damaged .*: export again"),
        ("[1, 2]", "line 2, is damaged"),
        ("\\ud800\xff", "line 2, is damaged"),
        (
            json.dumps({"file_name": "images/0.jpg", "text": "Кот."}),
            "line 2, lacks what a row of an export has",
        ),
        (json.dumps(row(rating=7)), r"line 2, has no usable 'rating'"),
        (json.dumps(row(rating="good")), r"line 2, has no usable 'rating'"),
        (json.dumps(row(rating=float("nan"))), r"line 2, has no usable 'rating'"),
        (json.dumps(row(rating=4.5)), r"line 2, has no usable 'rating'"),
        (json.dumps(row(rating=True)), r"line 2, has no usable 'rating'"),
        (json.dumps(row(correction="Кот.") | {"corrected": "1"}), r"line 2, has no usable 'corrected'"),
        (json.dumps(row(caption=" ", rating=5)), r"line 2, has no usable 'caption'"),
        (json.dumps(row(caption=["a"], rating=5)), r"line 2, has no usable"),
        (json.dumps(row("../../secret.jpg", rating=5)), r"line 2, has no usable 'file_name'"),
        (json.dumps(row(rating=5) | {"rated_at": "soon"}), r"line 2, has no usable 'rated_at'"),
        (
            json.dumps(row(rating=5) | {"rated_at": "0001-01-01T00:00:00+03:00"}),
            r"line 2, has no usable 'rated_at'",
        ),
        (json.dumps(row("a" * 5000, rating=5)), r"line 2, names a+, which is not in"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, damage: str, sentence: str) -> None:
    folder = write(tmp_path / "out", [row(correction="Кот спит.")])
    with (folder / "metadata.jsonl").open("ab") as file:
        file.write(damage.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ExportError, match=sentence):
        read_export(folder)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"made_at": "soon"}'])
def test_a_damaged_report_is_named(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "out", [row(correction="Кот спит.")])
    (folder / "export.json").write_text(text)
    with pytest.raises(ExportError, match=r"export\.json is damaged: export again"):
        read_export(folder)


def test_a_file_in_place_of_the_folder_is_no_export(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", [row(correction="Кот спит.")])
    with pytest.raises(ExportError, match="is no export of the bot"):
        read_export(folder / "metadata.jsonl")


def test_a_table_that_another_program_wrote_again(tmp_path: Path) -> None:
    """Numbers with a point, where the column has empty cells, and True for true."""
    folder = write(tmp_path / "out", [row(rating=4, correction="Кот."), row("images/1.jpg", rating=5)])
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    (folder / "metadata.jsonl").unlink()
    with (folder / "feedback.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(one | {"rating": float(one["rating"])} for one in rows)
    found = read_export(folder).rows
    assert [(one.rating, one.correction) for one in found] == [(4, "Кот."), (5, None)]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", [row(rating=5), row("images/1.jpg", correction="Кот.")])
    (folder / "images" / "1.jpg").unlink()
    with pytest.raises(ExportError, match=r"line 2, names images/1\.jpg, which is not in .*unpack all parts"):
        read_export(folder)


def test_what_is_no_export_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no export of the bot .*python -m bot export"):
        read_export(tmp_path)
    (tmp_path / "export.json").write_text("{")
    with pytest.raises(ExportError, match=r"export\.json is damaged"):
        read_export(tmp_path)
    (tmp_path / "export.json").write_text(json.dumps({"made_at": datetime.now(UTC).isoformat()}))
    with pytest.raises(ExportError, match=r"holds none of metadata\.jsonl"):
        read_export(tmp_path)
    (tmp_path / "feedback.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ExportError, match=r"feedback\.parquet is damaged"):
        read_export(tmp_path)
