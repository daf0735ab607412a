"""Archives that a chat can carry."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bot.feedback.export import ExportError, archive, export
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat
from tests.bot.feedback.export.conftest import contents


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
