"""An export takes the place of an earlier one, and of nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bot.feedback.export import ExportError, ExportReport, export
from bot.feedback.store import Store
from inference.common.locks import locked
from tests.bot.feedback.conftest import Chat, meme
from tests.bot.feedback.export.conftest import rows


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
        "turns.jsonl",
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
        await export(store, tmp_path / "out", format="xml")  # type: ignore[arg-type]  # which is refused
    assert not (tmp_path / "out").exists()
