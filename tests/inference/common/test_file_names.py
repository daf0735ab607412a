"""Names from other systems find their files; names that are not UTF-8 can be written and found again."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.common.file_names import (
    ESCAPED,
    AmbiguousNameError,
    find,
    forgive,
    name_of,
    picture_of,
    renamed,
    shown,
)

COMPOSED = "йод.png"
APART = unicodedata.normalize("NFD", COMPOSED)
OF_CP866 = os.fsdecode("кот.png".encode("cp866"))
OF_CP1251 = os.fsdecode("кот 100%.png".encode("cp1251"))


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (APART, COMPOSED),
        (COMPOSED, APART),
        ("images/ёж.JPG", unicodedata.normalize("NFD", "images/ёж.jpg")),
        ("a.png", "A.PNG"),
        ("a.JPG", "a.jpg"),
        ("Кот.png", "кот.PNG"),
        ("a.png", "./a.png"),
        ("a.png", ".\\a.png"),
        ("images/b.png", "images\\b.png"),
        ("images/b.png", ".\\Images\\B.PNG"),
        ("images/b.png", "images//b.png"),
        ("мой кот.png", "%D0%BC%D0%BE%D0%B9%20%D0%BA%D0%BE%D1%82.png"),
        ("100%.png", "100%.png"),
        ("100%25.png", "100%25.png"),
        (OF_CP866, name_of(OF_CP866)),
        (OF_CP1251, name_of(OF_CP1251)),
        (f"{OF_CP1251}/{OF_CP866}", name_of(f"{OF_CP1251}/{OF_CP866}")),
    ],
)
def test_a_name_finds_its_file(file: str, name: str, tmp_path: Path) -> None:
    make(tmp_path, file, "other.png", "images/other.png")
    assert find(tmp_path, name) == tmp_path / file
    assert picture_of(tmp_path, name) == tmp_path / file


def test_the_exact_name_wins(tmp_path: Path) -> None:
    make(tmp_path, COMPOSED, APART, "a.png", "A.png", "b%20c.png", "b c.png", "x\\y.png", "x/y.png")
    for name in (COMPOSED, APART, "a.png", "A.png", "b%20c.png", "b c.png", "x\\y.png", "x/y.png"):
        assert find(tmp_path, name) == tmp_path / name
    assert find(tmp_path, ".\\a.png") == tmp_path / "a.png"


def test_several_that_may_be_meant_are_told_and_not_guessed(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "A.png", "images/b.png", "Images/b.png")
    with pytest.raises(AmbiguousNameError, match=r"^A\.PNG may be any of .*/A\.png, .*/a\.png: name the one"):
        find(tmp_path, "A.PNG")
    with pytest.raises(AmbiguousNameError):
        find(tmp_path, "IMAGES/b.png")
    assert find(tmp_path, "images\\B.png") == tmp_path / "images/b.png"


@pytest.mark.parametrize(
    "name",
    ["", ".", "../a.png", "..\\a.png", "images/../../a.png", "/etc/passwd", "\\etc\\passwd", "%2e%2e/a.png",
     "%2Fetc%2Fpasswd", "a\0.png", "a%00.png", "none.png", "x" * 5000, "a.png/b.png"],
)  # fmt: skip
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    make(tmp_path, "a.png", "data/a.png", "data/images/a.png")
    assert find(tmp_path / "data", name) is None


def test_files_that_came_since_are_found(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    assert find(tmp_path, "B.PNG") is None
    make(tmp_path, "b.png")
    os.utime(tmp_path, ns=(1, 1))  # however coarse the clock of the disk is
    assert find(tmp_path, "B.PNG") == tmp_path / "b.png"


@given(name=st.binary(min_size=1, max_size=20).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_every_name_can_be_written_and_read_again(name: bytes) -> None:
    file = os.fsdecode(name)
    written = json.loads(json.dumps({"file_name": name_of(file)}, ensure_ascii=False).encode())["file_name"]
    assert written == name_of(file)
    if written != file:
        assert all(not "\udc80" <= character <= "\udcff" for character in written)


def test_what_is_not_utf_8_is_escaped_like_an_address() -> None:
    assert name_of(OF_CP866) == "%AA%AE%E2.png"
    assert name_of(OF_CP1251) == "%EA%EE%F2 100%25.png"
    assert name_of("кот 100%.png") == "кот 100%.png"
    assert name_of(Path("images") / OF_CP866) == "images/%AA%AE%E2.png"
    assert f"{OF_CP866} \ud83d".encode("utf-8", ESCAPED) == b"%AA%AE%E2.png \\ud83d"


def test_names_are_shown_on_one_line_and_colour_nothing() -> None:
    assert shown('a\nb\t"c".png') == 'a\\nb\\t"c".png'
    assert shown("\x1b[31ma\u202egnp.png\u2028") == "\\x1b[31ma\\u202egnp.png\\u2028"
    assert shown("кот 😀 «ёж».png") == "кот 😀 «ёж».png"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "koi8-r"])
def test_a_command_can_print_any_name(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    forgive()
    sys.stdout.write(f"{OF_CP866} кот 😀\n")
    sys.stdout.flush()
    assert raw.getvalue().startswith(b"%AA%AE%E2.png ")


def test_rows_of_one_picture_meet_under_the_name_that_is_wanted() -> None:
    said = {APART: 1, ".\\a.png": 2, "images\\B.PNG": 3, "c.png": 4, "extra.png": 5}
    assert renamed(said, [COMPOSED, "a.png", "images/b.png", "c.png"]) == {
        COMPOSED: 1,
        "a.png": 2,
        "images/b.png": 3,
        "c.png": 4,
        "extra.png": 5,
    }
    assert renamed({"a.png": 1, "A.png": 2}, ["a.png", "A.png"]) == {"a.png": 1, "A.png": 2}
    with pytest.raises(AmbiguousNameError, match=r"^A\.PNG may be a\.png, A\.png: name the one"):
        renamed({"A.PNG": 1}, ["a.png", "A.png"])
    with pytest.raises(AmbiguousNameError, match="may be the name of another row as well"):
        renamed({"A.PNG": 1, "A.png": 2}, ["a.png"])
