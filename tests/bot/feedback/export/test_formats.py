"""Every format is read by the programs it is for."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bot.feedback.export import export
from bot.feedback.store import Store
from inference.common import tables
from tests.bot.feedback.conftest import CHECKPOINT, MODEL, Chat, meme
from tests.bot.feedback.export.conftest import COLUMNS, rows


async def test_imagefolder(told: Chat, store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.without_pictures, report.pictures) == (4, 1, 2)
    found = rows(tmp_path / "out")
    assert [list(row) for row in found] == [COLUMNS] * 4
    # Every column has a value as early as possible: readers take its type from the first rows.
    first, corrected, marked, without = found
    assert first["text"] == first["caption"] == "На картинке кот спит."
    assert (first["rating"], first["corrected"], first["corrected_at"]) == (5, False, None)
    assert (first["model"], first["checkpoint"]) == (MODEL, CHECKPOINT)
    assert first["options"]["beams"] == 4
    assert first["words"] == ["ПЕРВАЯ", "строка два"]
    for time in (first["created_at"], first["rated_at"]):
        assert datetime.now(UTC) - timedelta(minutes=5) < datetime.fromisoformat(time) <= datetime.now(UTC)
    assert (marked["rating"], marked["file_name"]) == (2, first["file_name"])
    assert marked["user"] != first["user"]
    assert corrected["text"] == 'Кот говорит: "ВТОРАЯ",\nи спит'
    assert corrected["caption"] == "На картинке кот спит."
    assert (corrected["rating"], corrected["rated_at"], corrected["corrected"]) == (None, None, True)
    assert corrected["user"] == marked["user"]
    assert (without["file_name"], without["rating"]) == (None, 3)
    assert without["text"] == "Исправлено без картинки"
    for row, data in ((first, meme("ПЕРВАЯ")), (corrected, meme("ВТОРАЯ"))):
        assert (tmp_path / "out" / row["file_name"]).read_bytes() == data
        assert row["file_name"] == f"images/{hashlib.sha256(data).hexdigest()}.jpg"


async def test_imagefolder_loads_with_datasets(
    told: Chat, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    await export(store, tmp_path / "out")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert loaded.column_names == ["image", *COLUMNS[1:]]
    assert sorted((row["rating"], row["text"]) for row in loaded if row["rating"]) == [
        (2, "На картинке кот спит."),
        (3, "Исправлено без картинки"),
        (5, "На картинке кот спит."),
    ]
    for row in loaded:
        if row["text"] == "Исправлено без картинки":
            assert row["image"] is None
        else:
            assert row["image"].size[0] == 160
        assert row["options"]["strategy"] == "beam"


async def test_imagefolder_loads_whatever_the_first_rows_lack(
    chat: Chat, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 MB without pictures and marks, then one of each: `datasets` takes the types from the first 10 MB."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    vera = await chat.person(1, consent=False)
    bare = await chat.answer(vera, meme("БЕЗ"))
    for number in range(3, 203):
        user = await store.people.meet(number, language="ru")
        await store.marks.correct(user.id, bare.id, "слово " * 6000)
    anna = await chat.person(2)
    last = await chat.answer(anna, meme("С КАРТИНКОЙ"))
    await store.marks.rate(anna.id, last.id, 4)
    await export(store, tmp_path / "out")
    assert (tmp_path / "out" / "metadata.jsonl").stat().st_size > 12_000_000
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert [row["rating"] for row in loaded if row["image"] is not None] == [4]
    assert len(loaded) == 201


async def test_csv(told: Chat, store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out", format="csv")
    assert (report.rows, report.without_pictures) == (4, 1)
    with (tmp_path / "out" / "feedback.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == COLUMNS
    assert json.loads(found[0]["words"]) == ["ПЕРВАЯ", "строка два"]
    assert json.loads(found[0]["options"])["strategy"] == "beam"
    assert [row["rating"] for row in found] == ["5", "2", "", "3"]
    assert [row["corrected"] for row in found] == ["false", "false", "true", "true"]
    assert found[2]["text"] == 'Кот говорит: "ВТОРАЯ",\nи спит'
    assert [bool(row["file_name"]) for row in found] == [True, True, True, False]
    assert (tmp_path / "out" / found[0]["file_name"]).is_file()


async def test_no_cell_of_a_csv_is_a_formula_and_every_text_comes_back(
    chat: Chat, store: Store, tmp_path: Path
) -> None:
    texts = [
        '=HYPERLINK("http://evil.example")',
        "+7 900 000",
        "-5° и «минус»",
        "@все сюда",
        "'=1",
        "\t=1",
        "Кот",
    ]
    anna = await chat.person(1)
    for text in texts:
        caption = await chat.answer(anna, meme(text))
        await store.marks.correct(anna.id, caption.id, text)
    for format in ("csv", "imagefolder"):
        await export(store, tmp_path / format, format=format)
    with (tmp_path / "csv" / "feedback.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [row["text"] for row in csv.DictReader(file)]
    assert cells == [f"'{text}" for text in texts[:-1]] + ["Кот"]
    frame = pd.read_csv(tmp_path / "csv" / "feedback.csv")
    assert list(frame.columns) == COLUMNS
    assert [tables.plain(cell) for cell in frame["text"]] == texts
    assert [row["text"] for row in rows(tmp_path / "imagefolder")] == texts


async def test_parquet(told: Chat, store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out", format="parquet")
    assert (report.rows, report.without_pictures) == (4, 1)
    found = pq.read_table(tmp_path / "out" / "feedback.parquet").to_pylist()
    assert list(found[0]) == COLUMNS
    assert [row["rating"] for row in found] == [5, 2, None, 3]
    assert found[0]["words"] == ["ПЕРВАЯ", "строка два"]
    assert json.loads(found[0]["options"])["beams"] == 4
    assert found[0]["created_at"].utcoffset() == timedelta(0)
    assert found[2]["rated_at"] is None
    assert [row["corrected"] for row in found] == [False, False, True, True]
    assert found[3]["file_name"] is None
    assert (tmp_path / "out" / found[2]["file_name"]).read_bytes() == meme("ВТОРАЯ")
