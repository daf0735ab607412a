"""Whatever was sent, others can open what is exported."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
from pathlib import Path

import datasets
import pillow_heif
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import update

from bot.feedback import database
from bot.feedback.export import export
from bot.feedback.export.report import ExportFormat
from bot.feedback.store import Store
from bot.feedback.tables import Picture
from tests.bot.feedback.conftest import Chat, kept, meme
from tests.bot.feedback.export.conftest import rows
from tests.drawing import draw_meme


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
    tables: list[tuple[ExportFormat, str]] = [("csv", "feedback.csv"), ("parquet", "feedback.parquet")]
    for format, table in tables:
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


async def test_a_kept_file_that_vanished_is_counted_not_fatal(
    told: Chat, store: Store, data_dir: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(meme("ВТОРАЯ")).hexdigest()
    (data_dir / "pictures" / digest[:2] / f"{digest}.jpg").unlink()
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.without_pictures, report.pictures) == (4, 2, 1)
