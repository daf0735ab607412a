"""What an export holds, and that the programs it is for can read it."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pillow_heif
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import update

from bot.feedback import database
from bot.feedback.export import ExportError, ExportReport, archive, export, parse_since
from bot.feedback.store import Store
from bot.feedback.tables import Correction, Picture, Rating
from inference.common import tables
from inference.common.locks import locked
from tests.bot.feedback.conftest import CHECKPOINT, MODEL, Chat, kept, meme
from tests.drawing import draw_meme

COLUMNS = [
    "file_name",
    "text",
    "rating",
    "model",
    "checkpoint",
    "options",
    "words",
    "user",
    "created_at",
    "rated_at",
    "corrected_at",
    "corrected",
    "caption",
    "picture",
    "converted_from",
]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
async def told(chat: Chat, store: Store) -> Chat:
    """Anna: 5; Boris: only a correction, 2 on Anna's caption; Vera keeps nothing: 3 and a correction."""
    anna, boris, vera = await chat.person(1), await chat.person(2), await chat.person(3, consent=False)
    first = await chat.answer(anna, meme("ПЕРВАЯ"), words=("ПЕРВАЯ", "строка два"))
    await store.marks.rate(anna.id, first.id, 5)
    await store.marks.rate(boris.id, first.id, 2)
    second = await chat.answer(boris, meme("ВТОРАЯ"))
    await store.marks.correct(boris.id, second.id, "=Кот, «черновик»")
    await store.marks.correct(boris.id, second.id, 'Кот говорит: "ВТОРАЯ",\nи спит')
    third = await chat.answer(vera, meme("ТРЕТЬЯ"))
    await store.marks.rate(vera.id, third.id, 3)
    await store.marks.correct(vera.id, third.id, "Исправлено без картинки")
    await chat.answer(anna, meme("НИКТО НЕ ОЦЕНИЛ"))
    return chat


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


async def test_two_exports_into_one_folder_do_not_mix(told: Chat, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with locked(out), pytest.raises(ExportError, match=r"Another export is being written to .*wait for it"):
        await export(store, out)
    said = await asyncio.gather(*(export(store, out) for _ in range(5)), return_exceptions=True)
    assert any(isinstance(one, ExportReport) for one in said)
    assert all(isinstance(one, ExportReport) or "Another export" in str(one) for one in said)
    assert len(rows(out)) == 4
    assert len(list((out / "images").iterdir())) == 2


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


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def kinds_of_pictures() -> dict[str, tuple[bytes, str, str | None]]:
    """By name: what is sent, the suffix it is exported under, and what it is said to be converted from."""
    pillow_heif.register_heif_opener()
    drawn = [draw_meme("caption_bar", f"ВИД {number}", width=160) for number in range(16)]
    side_text = PngInfo()
    side_text.add_itxt("key", "а" * 2_000_000, zip=True)
    jpeg, png = file_of(drawn[0], "JPEG"), file_of(drawn[1], "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "heic": (file_of(drawn[2], "HEIF"), "jpg", "heic"),
        "avif": (file_of(drawn[3], "AVIF"), "jpg", "avif"),
        "jp2": (file_of(drawn[4], "JPEG2000"), "jp2", None),
        "j2k": (file_of(drawn[5], "JPEG2000", no_jp2=True), "j2k", None),
        "a jpeg without its end": (jpeg[:-2], "jpg", "jpg"),
        "a jpeg without its last rows": (jpeg[: len(jpeg) * 9 // 10], "jpg", "jpg"),
        "a closed jpeg without its last rows": (jpeg[: len(jpeg) * 8 // 10] + b"\xff\xd9", "jpg", "jpg"),
        "a png of much text": (file_of(drawn[6], "PNG", pnginfo=side_text), "png", "png"),
        "a png of a wrong checksum": (png[:33] + b"\0\0\0\1tEXta1234" + png[33:], "png", "png"),
        "a png without its last rows": (png[: len(png) * 9 // 10], "png", "png"),
        "cmyk": (file_of(drawn[7].convert("CMYK"), "JPEG"), "jpg", None),
        "16 bits": (file_of(drawn[8].convert("I;16"), "PNG"), "png", None),
        "floats": (file_of(drawn[9].convert("F"), "TIFF"), "tiff", None),
        "a turned tiff": (file_of(drawn[10], "TIFF", exif=turned.tobytes()), "tiff", None),
        "a gif that moves": (
            file_of(drawn[11], "GIF", save_all=True, append_images=[drawn[12]]),
            "gif",
            None,
        ),
        "a sticker": (file_of(drawn[13].convert("RGBA"), "WEBP", lossless=True), "webp", None),
        "bmp": (file_of(drawn[14], "BMP"), "bmp", None),
        "usual": (file_of(drawn[15], "JPEG"), "jpg", None),
    }


FRESH = """
import json, sys
import datasets
loaded = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2], split="train")
found = {row["text"]: row["image"].convert("RGB").size for row in loaded}
assert "pillow_heif" not in sys.modules
print(json.dumps(found))
"""


async def test_every_exported_picture_opens_in_plain_datasets_whatever_was_sent(
    chat: Chat, store: Store, tmp_path: Path
) -> None:
    anna = await chat.person(1)
    kinds = kinds_of_pictures()
    for name, (data, _, _) in kinds.items():
        caption = await chat.answer(anna, data)
        await store.marks.correct(anna.id, caption.id, name)
    out = tmp_path / "out"
    report = await export(store, out)
    assert (report.rows, report.without_pictures, report.pictures) == (len(kinds), 0, len(kinds))
    for row in rows(out):
        data, suffix, converted_from = kinds[row["text"]]
        assert (row["file_name"].rpartition(".")[2], row["converted_from"]) == (suffix, converted_from), row
        if converted_from is None:
            assert (out / row["file_name"]).read_bytes() == data
    fresh = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FRESH, str(out), str(tmp_path / "cache")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    said, complaints = await fresh.communicate()
    assert fresh.returncode == 0, complaints.decode()
    sizes = json.loads(said)
    assert sizes.keys() == kinds.keys()
    whole = draw_meme("caption_bar", "ВИД 0", width=160).size
    for name, (width, height) in sizes.items():
        if "last rows" in name:
            assert width == whole[0]
            assert whole[1] / 2 < height < whole[1], name
        elif name == "a turned tiff":
            assert (height, width) == whole
        else:
            assert (width, height) == whole, name
    for format, table in (("csv", "feedback.csv"), ("parquet", "feedback.parquet")):
        await export(store, out, format=format)
        loaded = datasets.load_dataset(
            format, data_files=str(out / table), cache_dir=str(tmp_path / format), split="train"
        )
        assert {row["text"]: row["converted_from"] for row in loaded} == {
            name: converted_from for name, (_, _, converted_from) in kinds.items()
        }


async def test_a_picture_kept_under_a_suffix_that_tells_nothing_is_exported_under_its_own(
    chat: Chat, store: Store, url: str, data_dir: Path, tmp_path: Path
) -> None:
    """As JPEG 2000 was once kept."""
    anna = await chat.person(1)
    data = file_of(draw_meme("caption_bar", width=160), "JPEG2000")
    caption = await chat.answer(anna, data)
    await store.marks.rate(anna.id, caption.id, 4)
    (kept_file,) = kept(data_dir)
    assert kept_file.suffix == ".jp2"
    old = kept_file.rename(kept_file.with_suffix(".bin"))
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.execute(update(Picture).values(path=old.relative_to(data_dir).as_posix()))
    await engine.dispose()
    await export(store, tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert row["file_name"].endswith(".jp2")
    assert (tmp_path / "out" / row["file_name"]).read_bytes() == data


async def test_a_kept_file_that_nothing_opens_is_left_out_and_its_row_stays(
    told: Chat, store: Store, data_dir: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(meme("ВТОРАЯ")).hexdigest()
    (data_dir / "pictures" / digest[:2] / f"{digest}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(500))
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.without_pictures, report.pictures) == (4, 2, 1)


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


async def test_min_rating_keeps_rows_with_only_a_correction(told: Chat, store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out", min_rating=3)
    assert report.rows == 3
    assert [row["rating"] for row in rows(tmp_path / "out")] == [5, None, 3]


async def test_since_looks_at_the_mark_and_at_the_correction(
    told: Chat, store: Store, url: str, tmp_path: Path
) -> None:
    """All feedback is made a year old, then one mark and one correction new again."""
    old = datetime.now(UTC) - timedelta(days=365)
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.execute(update(Rating).values(updated_at=old))
        await connection.execute(update(Correction).values(created_at=old))
        await connection.execute(update(Rating).where(Rating.mark == 5).values(updated_at=datetime.now(UTC)))
        await connection.execute(
            update(Correction)
            .where(Correction.text.like("%без картинки%"))
            .values(created_at=datetime.now(UTC))
        )
    await engine.dispose()
    since = parse_since(str((datetime.now(UTC) - timedelta(days=2)).date()))
    report = await export(store, tmp_path / "out", since=since)
    assert [row["rating"] for row in rows(tmp_path / "out")] == [5, 3]
    assert report.rows == 2
    later = parse_since((datetime.now(UTC) + timedelta(hours=5)).isoformat())
    assert (await export(store, tmp_path / "out", since=later)).rows == 0


def test_since_as_people_write_it() -> None:
    assert parse_since("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_since("2026-01-31T18:00") == datetime(2026, 1, 31, 18, tzinfo=UTC)
    assert parse_since("2026-01-31T18:00+03:00") == datetime(2026, 1, 31, 15, tzinfo=UTC)
    for text in ("yesterday", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"):
        with pytest.raises(ExportError, match=r"write it like 2026-01-31"):
            parse_since(text)


async def test_the_pseudonym_is_stable_and_tells_nothing(
    told: Chat, store: Store, url: str, data_dir: Path, tmp_path: Path
) -> None:
    await export(store, tmp_path / "a")
    async with await Store.open(url, data_dir) as restarted:
        await export(restarted, tmp_path / "b")
    users = [[row["user"] for row in rows(tmp_path / name)] for name in "ab"]
    assert users[0] == users[1]
    guessed = {hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(1000)}
    assert guessed.isdisjoint(users[0])
    async with await Store.open(f"sqlite:///{tmp_path}/other.db", tmp_path / "other") as other:
        chat = Chat(other)
        user = await chat.person(1)
        await other.marks.rate(user.id, (await chat.answer(user, meme())).id, 5)
        await export(other, tmp_path / "c")
    assert rows(tmp_path / "c")[0]["user"] not in users[0], "another bot's people cannot be matched"


async def test_an_earlier_export_is_replaced_whole(told: Chat, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await export(store, out, format="csv")
    boris = await store.people.find(2)
    assert boris is not None
    await store.erasure.erase(boris.id)
    report = await export(store, out)
    assert report.rows == 2
    assert {path.name for path in out.iterdir()} == {
        "images",
        "metadata.jsonl",
        "export.json",
        "erased.jsonl",
    }
    assert [path.read_bytes() for path in (out / "images").iterdir()] == [meme("ПЕРВАЯ")]
    assert json.loads((out / "export.json").read_text())["rows"] == 2


async def test_a_later_export_says_what_must_leave_an_earlier_one(
    told: Chat, store: Store, tmp_path: Path
) -> None:
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    await export(store, earlier)
    (made,) = [json.loads(line) for line in (earlier / "erased.jsonl").read_text().splitlines()]
    assert made == {"made_at": json.loads((earlier / "export.json").read_text())["made_at"]}
    boris = await store.people.find(2)
    anna = await store.people.find(1)
    assert boris is not None and anna is not None
    await store.erasure.erase(boris.id)
    await store.people.set_consent(anna.id, False)  # her words stay, her pictures go
    await export(store, later)
    _, *tombstones = [json.loads(line) for line in (later / "erased.jsonl").read_text().splitlines()]
    assert all(row.pop("erased_at") >= made["made_at"] for row in tombstones)
    old = rows(earlier)
    his = next(row for row in old if row["corrected"] and row["file_name"])
    hers = next(row for row in old if row["rating"] == 5)
    assert [row["user"] for row in tombstones if "user" in row] == [his["user"]]
    gone = {row["picture"] for row in tombstones if "picture" in row}
    assert len(gone) == 3, "his, which nobody else had sent, and hers, of which nobody rated one"
    assert gone > {his["picture"], hers["picture"]}
    assert len({row["picture"] for row in old}) == 3
    assert [row["picture"] for row in rows(later) if row["rating"] == 5] == [hers["picture"]]


async def test_somebody_elses_folder_is_not_touched(told: Chat, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    (folder / "images").mkdir(parents=True)
    (folder / "metadata.jsonl").write_text("{}\n")
    with pytest.raises(ExportError, match="give another folder"):
        await export(store, folder)
    assert (folder / "metadata.jsonl").read_text() == "{}\n"
    await export(store, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="give another folder"):
        await export(store, tmp_path / "out")
    assert (tmp_path / "out" / "metadata.jsonl").stat().st_size > 0
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="give another folder"):
        await export(store, tmp_path / "file")


async def test_arguments_out_of_range(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="between 1 and 5"):
        await export(store, tmp_path / "out", min_rating=6)
    with pytest.raises(ExportError, match="imagefolder, csv, parquet"):
        await export(store, tmp_path / "out", format="xml")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


async def test_nothing_to_export(store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out")
    assert report.rows == 0
    assert "Nothing to export" in str(report)
    assert rows(tmp_path / "out") == []


async def test_rows_without_any_picture_are_exported_and_the_sentence_says_what_to_do(
    chat: Chat, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    vera = await chat.person(1, consent=False)
    await store.marks.rate(vera.id, (await chat.answer(vera, meme())).id, 3)
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.without_pictures, report.pictures) == (1, 1, 0)
    assert "/privacy" in str(report)
    with pytest.raises(ValueError, match="file_name"):  # if this stops, the sentence is wrong
        datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "a"))
    assert 'load_dataset("json", data_files="metadata.jsonl")' in str(report)
    loaded = datasets.load_dataset(
        "json",
        data_files=str(tmp_path / "out" / "metadata.jsonl"),
        cache_dir=str(tmp_path / "b"),
        split="train",
    )
    assert [row["rating"] for row in loaded] == [3]
    again = await export(store, tmp_path / "out", format="csv")
    assert "load_dataset" not in str(again)


async def test_a_kept_file_that_vanished_is_counted_not_fatal(
    told: Chat, store: Store, data_dir: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(meme("ВТОРАЯ")).hexdigest()
    (data_dir / "pictures" / digest[:2] / f"{digest}.jpg").unlink()
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.without_pictures, report.pictures) == (4, 2, 1)


async def test_many_rows_stream_through(chat: Chat, store: Store, tmp_path: Path) -> None:
    """More than one batch, one picture: a file for the picture, a row for everybody."""
    anna = await chat.person(1)
    row = await chat.answer(anna, meme())
    for number in range(2, 213):
        user = await store.people.meet(number, language="ru")
        await store.marks.rate(user.id, row.id, 1 + number % 5)
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.pictures) == (211, 1)
    assert len({row["user"] for row in rows(tmp_path / "out")}) == 211


async def test_archive_in_one_part(told: Chat, store: Store, tmp_path: Path) -> None:
    await export(store, tmp_path / "out")
    [part] = await archive(tmp_path / "out", tmp_path / "zips")
    assert part.name == "feedback.zip"
    with zipfile.ZipFile(part) as packed:
        assert packed.testzip() is None
        packed.extractall(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


async def test_archive_in_parts_below_the_limit(told: Chat, store: Store, tmp_path: Path) -> None:
    await export(store, tmp_path / "out")
    limit = max(path.stat().st_size for path in (tmp_path / "out" / "images").iterdir()) + 1500
    parts = await archive(tmp_path / "out", tmp_path / "zips", name="f", limit=limit)
    assert len(parts) >= 2
    assert [part.name for part in parts] == [f"f-{n + 1}-of-{len(parts)}.zip" for n in range(len(parts))]
    assert sorted(path.name for path in (tmp_path / "zips").iterdir()) == [part.name for part in parts]
    for part in parts:
        assert part.stat().st_size <= limit
        with zipfile.ZipFile(part) as packed:  # each opens by itself
            packed.extractall(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


async def test_archive_of_a_file_too_large_says_so(told: Chat, store: Store, tmp_path: Path) -> None:
    await export(store, tmp_path / "out")
    with pytest.raises(ExportError, match="narrow it"):
        await archive(tmp_path / "out", tmp_path / "zips", limit=1000)
    assert list((tmp_path / "zips").iterdir()) == []


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
