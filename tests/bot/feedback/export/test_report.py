"""What an export says of itself, and what may be asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import datasets
import pytest

from bot.feedback.export import ExportError, export, parse_since
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat, meme
from tests.bot.feedback.export.conftest import rows


def test_since_as_people_write_it() -> None:
    assert parse_since("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_since("2026-01-31T18:00") == datetime(2026, 1, 31, 18, tzinfo=UTC)
    assert parse_since("2026-01-31T18:00+03:00") == datetime(2026, 1, 31, 15, tzinfo=UTC)
    for text in ("yesterday", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"):
        with pytest.raises(ExportError, match=r"write it like 2026-01-31"):
            parse_since(text)


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
