"""Tables hold no formula, open in spreadsheets, and give every text back exactly."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.common import tables
from train_scripts.data.files import table_rows

SIGNS = "=+-@＝＋－＠"
DANGEROUS = [
    "=1+1", "=HYPERLINK(\"http://evil.example\";\"ещё\")", "+7 900", "-5°", "@все", " =1", "\u00a0=1", "\t=1",
    "\ttab", "\rreturn", "\nline", "'=1", "''=1", "\"=1", "' \" =1", "＝1", "－1", "=", "-", "\r\n-", "`=1",
    "\ufeff=1", "-2+3+cmd|' /C calc'!A0",
]  # fmt: skip
HARMLESS = [
    "", "Кот", "2=2", "кот - кот", "'", "''", "'Кот'", "«=»", "— да", "–5", "1,5", " Кот", "a\nb",
    "'кот' = 1",
]  # fmt: skip
TEXTS = st.text(
    st.sampled_from([*SIGNS, "'", '"', " ", "\t", "\r", "\n", ",", ";", "а", "1", "\\"]), max_size=8
)
ANY = TEXTS | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_begins_a_formula(text: str) -> None:
    cell = tables.harmless(text)
    assert cell == f"'{text}"
    assert tables.plain(cell) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_written_as_they_are(text: str) -> None:
    assert tables.harmless(text) == text == tables.plain(text)


@given(ANY)
@example("'=1")
@example("'\t")
def test_every_text_comes_back(text: str) -> None:
    cell = tables.harmless(text)
    assert tables.plain(cell) == text
    assert cell.startswith("'") or not cell.strip(" \"'\u00a0").startswith(tuple(SIGNS))


def write(path: Path, texts: list[str], separator: str = ",") -> None:
    with path.open("w", encoding=tables.ENCODING, newline="") as file:
        table = tables.Writer(file, ["file_name", "text", "score", "empty"], separator=separator)
        table.write(
            {"file_name": f"{i}.png", "text": text, "score": -0.5, "empty": None}
            for i, text in enumerate(texts)
        )


@given(st.lists(ANY, min_size=1, max_size=5))
@example([*DANGEROUS, *HARMLESS])
def test_a_table_read_by_our_own_programs_holds_the_texts_that_were_written(texts: list[str]) -> None:
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        path = FOLDER / f"table{suffix}"
        write(path, texts, separator)
        rows = [row for _, row in table_rows(path)]
        assert [row["text"] for row in rows] == texts
        assert {(row["score"], row["empty"]) for row in rows} == {("-0.5", "")}


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER  # noqa: PLW0603 - hypothesis calls a test many times in one folder
    FOLDER = tmp_path_factory.mktemp("tables")


FOLDER = Path()


def test_pandas_and_datasets_read_it_and_one_line_gives_the_texts_back(tmp_path: Path) -> None:
    texts = [text for text in (*DANGEROUS, *HARMLESS) if text]
    path = tmp_path / "table.csv"
    write(path, texts)
    assert path.read_bytes().startswith(b"\xef\xbb\xbffile_name,text,score,empty\r\n")
    frame = pd.read_csv(path)
    assert list(frame.columns) == ["file_name", "text", "score", "empty"]
    assert [tables.plain(cell) for cell in frame["text"]] == texts
    assert set(frame["score"]) == {-0.5}
    # As the README says it, without this project.
    again = frame["text"].str.replace(r"""^'(?=[\s\ufeff'"`’‘]*[=+\-@＝＋－＠]|'*[\t\r\n])""", "", regex=True)
    assert list(again) == texts
    loaded = datasets.load_dataset(
        "csv", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert [tables.plain(cell) for cell in loaded["text"]] == texts
    with path.open(encoding="utf-8-sig", newline="") as file:
        raw = [row["text"] for row in csv.DictReader(file)]
    assert not [cell for cell in raw if cell.lstrip(' \u00a0"`\ufeff').startswith((*SIGNS, "\t", "\r", "\n"))]


def test_a_table_of_somebody_else_keeps_its_apostrophes(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("file_name,text\n0.png,'-' стоит на картинке\n", encoding="utf-8")
    assert [row["text"] for _, row in table_rows(path)] == ["'-' стоит на картинке"]


def test_a_row_of_other_columns_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="") as file:
        table = tables.Writer(file, ["a", "b"])
        for row in ({"a": 1}, {"a": 1, "b": 2, "c": 3}):
            with pytest.raises(ValueError, match="the table a, b"):
                table.write([row])
