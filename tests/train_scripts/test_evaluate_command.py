"""`python -m train_scripts evaluate` and `compare`, as a person runs them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.drawing import draw_meme, jpeg_bytes
from tests.train_scripts.captions import ORDINARY
from train_scripts.__main__ import app
from train_scripts.data.captions import read_captions
from train_scripts.metrics import MEASURES, evaluate

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    rows = [{"file_name": f"{i}.png", "text": p, "model": "m"} for i, (p, _) in enumerate(ORDINARY)]
    return write(tmp_path / "predictions.jsonl", rows)


@pytest.fixture
def references(tmp_path: Path) -> Path:
    folder = tmp_path / "val"
    folder.mkdir()
    rows = [{"file_name": f"{i}.png", "text": r} for i, (_, r) in enumerate(ORDINARY)]
    return write(folder / "metadata.jsonl", rows)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_evaluate_in_a_process_of_its_own(tmp_path: Path, predictions: Path, references: Path) -> None:
    outputs = [tmp_path / name for name in ("scores.json", "scores.md", "rows.jsonl")]
    command: list[str | Path] = [
        *(sys.executable, "-W", "error", "-m", "train_scripts", "evaluate", predictions, references.parent),
        *("--json", outputs[0], "--markdown", outputs[1], "--rows", outputs[2], "--sort-by", "meteor"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

    report = evaluate(read_captions(predictions), read_captions(references))
    assert json.loads(outputs[0].read_text("utf-8")) == report.to_dict()
    for measure in MEASURES:
        value = measure.show(report[measure.key])
        line = next(line for line in done.stdout.splitlines() if f" {measure.title} " in line)
        assert f" {value} " in line
        assert any(
            f"| {measure.title}" in row and f"| {value} |" in row
            for row in outputs[1].read_text("utf-8").splitlines()
        )
    rows = [json.loads(line) for line in outputs[2].read_text("utf-8").splitlines()]
    assert sorted(row["file_name"] for row in rows) == [f"{i}.png" for i in range(len(ORDINARY))]
    assert [row["meteor"] for row in rows] == sorted(row["meteor"] for row in rows)


def test_a_picture_that_could_not_be_read_counts_as_an_empty_caption(
    tmp_path: Path, references: Path
) -> None:
    rows = [{"file_name": f"{i}.png", "text": p} for i, (p, _) in enumerate(ORDINARY)]
    rows[1] = {"file_name": "1.png", "error": "The file is cut short: send it again."}
    out = tmp_path / "scores.json"
    done = run("evaluate", write(tmp_path / "p.jsonl", rows), references, "--json", out)
    assert done.exit_code == 0
    assert "4 pictures, 1 empty captions" in done.stdout
    empty = {f"{i}.png": "" if i == 1 else p for i, (p, _) in enumerate(ORDINARY)}
    assert json.loads(out.read_text("utf-8")) == evaluate(empty, read_captions(references)).to_dict()


def test_references_may_be_exported_feedback_with_pictures_that_were_not_kept(tmp_path: Path) -> None:
    rows = [{"file_name": "images/0.png", "text": "кот"}, {"file_name": None, "text": "пёс"}]
    write(tmp_path / "metadata.jsonl", rows)
    assert read_captions(tmp_path) == {"images/0.png": "кот"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"file_name": "0.png", "text": "a"}\n{"file_name": "1.p', "line 2, is not valid JSON"),
        (b'\n["0.png", "a"]\n', "line 2, is not an object"),
        (b'{"text": "a"}\n', 'line 1, has no "file_name"'),
        (b'{"file_name": "", "text": "a"}\n', 'line 1, has no "file_name"'),
        (b'{"file_name": "0.png"}\n', 'line 1, has no "text" for 0.png'),
        (b'{"file_name": "0.png", "text": 5}\n', 'line 1, has no "text" for 0.png'),
        (
            b'{"file_name": "0.png", "text": "a"}\n\n{"file_name": "0.png", "text": "b"}\n',
            "line 3, repeats 0.png of line 1",
        ),
        (b'{"file_name": "0.png", "text": "\xff"}\n', "line 1, is not UTF-8"),
        (b"\n \n", "has no rows"),
        (b'{"file_name": "0.png", "text": "a"}\n', "3 of 4 pictures of the references have no prediction"),
    ],
)
def test_bad_predictions_get_one_sentence(
    tmp_path: Path, references: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    for command in (
        ["evaluate", path, references],
        ["compare", path, references, "--references", references],
        ["compare", references, path, "--references", references],
    ):
        done = run(*command)
        assert done.exit_code == 1
        assert sentence in done.stderr
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert not done.stdout


def test_files_that_cannot_be_read_or_written_get_one_sentence(
    tmp_path: Path, predictions: Path, references: Path
) -> None:
    missing = run("evaluate", tmp_path / "nothing.jsonl", references)
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    assert "nothing.jsonl cannot be read (No such file or directory): check the path." in missing.stderr
    unknown = run("evaluate", predictions, references, "--sort-by", "beauty")
    assert unknown.exit_code == 1
    assert "There is no score named beauty: choose one of bleu1, " in unknown.stderr


def test_reports_that_cannot_be_written_are_refused_before_any_work(tmp_path: Path, references: Path) -> None:
    never_read, nowhere = tmp_path / "nothing.jsonl", tmp_path / "no" / "report.jsonl"
    evaluates = ["evaluate", never_read, references]
    compares = ["compare", never_read, never_read, "--references", references]
    for command, last in ((evaluates, "--rows"), (compares, "--rows"), (compares, "--sheet")):
        earlier, new = tmp_path / "earlier.json", tmp_path / "new.md"
        earlier.write_text("of last week", encoding="utf-8")
        done = run(*command, "--json", earlier, "--markdown", new, last, nowhere)
        assert done.exit_code == 1
        said = "Error: {} cannot be written ({}): choose another path.\n"
        assert done.stderr == said.format(nowhere, "No such file or directory")
        assert earlier.read_text(encoding="utf-8") == "of last week"
        assert not new.exists()
        folder = run(*command, "--markdown", tmp_path)
        assert (
            folder.stderr == f"Error: {tmp_path} cannot be written (Is a directory): choose another path.\n"
        )


def test_rows_go_into_a_pipe(tmp_path: Path, predictions: Path, references: Path) -> None:
    pipe = tmp_path / "rows"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        done = run("evaluate", predictions, references, "--rows", pipe)
        assert done.exit_code == 0, done.output
        assert reader.stdout is not None
        rows = reader.stdout.read().splitlines()
    assert {json.loads(row)["file_name"] for row in rows} == set(read_captions(references))


def test_rows_of_an_ending_that_is_not_written_are_refused_before_any_work(
    tmp_path: Path, references: Path
) -> None:
    rows, never_read = tmp_path / "rows.xls", tmp_path / "nothing.jsonl"
    for command in (
        ["evaluate", never_read, references, "--rows", rows],
        ["compare", never_read, never_read, "--references", references, "--rows", rows],
    ):
        done = run(*command)
        assert done.exit_code == 1
        sentence = f"Error: Rows are not written as .xls ({rows}): name a .jsonl, .csv or .tsv file.\n"
        assert done.stderr == sentence


def test_references_may_start_with_a_byte_order_mark(
    tmp_path: Path, predictions: Path, references: Path
) -> None:
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + references.read_bytes())
    assert read_captions(marked) == read_captions(references)


def test_an_error_row_among_references_is_refused(tmp_path: Path, predictions: Path) -> None:
    done = run("evaluate", predictions, write(tmp_path / "r.jsonl", [{"file_name": "0.png", "error": "no"}]))
    assert done.exit_code == 1
    assert 'has no "text" for 0.png' in done.stderr


def test_compare_names_the_better_system_and_writes_where_they_differ(
    tmp_path: Path, predictions: Path, references: Path
) -> None:
    outputs = [tmp_path / name for name in ("c.json", "c.md", "c.jsonl")]
    done = run(
        *("compare", predictions, references, "--references", references, "--by", "chrf", "--show", 1),
        *("--json", outputs[0], "--markdown", outputs[1], "--rows", outputs[2]),
    )
    assert done.exit_code == 0
    scores = json.loads(outputs[0].read_text("utf-8"))["scores"]
    assert scores["chrf"]["better"] == "B"
    assert scores["chrf"]["b"] == pytest.approx(1)
    assert "metadata against predictions: 4 pictures" in done.stdout
    markdown = outputs[1].read_text("utf-8")
    assert "| chrF ↑ |" in markdown
    assert "Where they differ most, by chrF" in markdown
    rows = [json.loads(line) for line in outputs[2].read_text("utf-8").splitlines()]
    assert [row["gain"] for row in rows] == sorted((row["gain"] for row in rows), reverse=True)
    assert {row["b"] for row in rows} == {reference for _, reference in ORDINARY}


def test_several_rows_a_picture_are_several_references(tmp_path: Path) -> None:
    said = write(tmp_path / "p.jsonl", [{"file_name": "0.png", "text": "рыжий кот спит на диване"}])
    rows = [{"file_name": "0.png", "text": text} for text in ("пёс", "рыжий кот спит на диване", "пёс")]
    out = tmp_path / "rows.jsonl"
    done = run("evaluate", said, write(tmp_path / "r.jsonl", rows), "--rows", out)
    assert done.exit_code == 0, done.output
    (row,) = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert row["bleu4"] == row["rouge_l"] == row["chrf"] == pytest.approx(1)
    assert row["reference"] == "пёс\nрыжий кот спит на диване"


def test_only_the_references_of_one_split(tmp_path: Path) -> None:
    rows = [{"file_name": f"{s}.png", "text": f"кот {s}", "split": s} for s in ("train", "val")]
    write(tmp_path / "metadata.jsonl", rows)
    said = write(tmp_path / "p.jsonl", [{"file_name": "val.png", "text": "кот val"}])
    assert "1 pictures" in run("evaluate", said, tmp_path, "--split", "val").stdout
    assert "1 of 2 pictures of the references have no prediction" in run("evaluate", said, tmp_path).stderr
    wrong = run("evaluate", said, tmp_path, "--split", "dev")
    assert wrong.exit_code == 1
    assert 'has no rows whose "split" is dev: choose one of train, val.' in wrong.stderr
    none = run("evaluate", said, said, "--split", "val")
    assert f'{said} has no rows whose "split" is val: its rows have none, so omit --split.' in none.stderr


def test_tables_come_in_and_go_out(tmp_path: Path, predictions: Path, references: Path) -> None:
    captions = read_captions(predictions)
    table = tmp_path / "p.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "file_name", "seconds"])
        writer.writerows([text, name, 1] for name, text in captions.items())
    assert read_captions(table) == captions
    out = tmp_path / "rows.csv"
    assert run("evaluate", table, references, "--rows", out, "--sort-by", "quote_cer").exit_code == 0
    assert read_captions(out) == captions
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file_name"]: row["text"] for row in rows} == captions
    worst_first = [float(row["quote_cer"]) for row in rows if row["quote_cer"]]
    assert worst_first == sorted(worst_first, reverse=True)
    assert rows[-1]["quote_cer"] == ""  # the one whose reference quotes nothing


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file_name,text\n0.png,a\n1.png\n", 'line 3, has no "text" for 1.png'),
        ("name,text\n0.png,a\n", 'line 2, has no "file_name"'),
        ('file_name,text\n0.png,"a\nb"\n0.png,c\n', "line 4, repeats 0.png of line 2"),
        ("file_name,text\n", "has no rows"),
        (b"file_name,text\n0.png,\xff\n", "line 2, is not UTF-8"),
    ],
)
def test_a_bad_row_of_a_table_gets_one_sentence(
    tmp_path: Path, references: Path, content: str | bytes, sentence: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("evaluate", path, references)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_compare_shows_the_pictures_where_they_differ(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    (folder / "images").mkdir(parents=True)
    texts = ["рыжий кот спит на диване", "пёс лает на почтальона", "дом стоит у реки"]
    rows = [{"file_name": f"images/{i}.jpg", "text": text} for i, text in enumerate(texts)]
    for row in rows:
        (folder / row["file_name"]).write_bytes(jpeg_bytes(draw_meme("photo", width=200)))
    write(folder / "metadata.jsonl", rows)
    a = write(tmp_path / "old.jsonl", [rows[0], rows[1] | {"text": "пёс"}, rows[2]])
    b = write(tmp_path / "new.jsonl", [rows[0] | {"text": "кот"}, rows[1], rows[2]])
    page = tmp_path / "differences.html"
    done = run("compare", a, b, "--references", folder, "--sheet", page)
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert "<title>new against old</title>" in text
    new, old = text.index("new is better, by METEOR"), text.index("old is better, by METEOR")
    assert new < text.index("<figcaption>images/1.jpg") < old < text.index("<figcaption>images/0.jpg")
    assert "images/2.jpg" not in text
    assert text.count('src="data:image/jpeg') == 2
    assert "<h3>Reference</h3>" in text
    assert "<td>BLEU-1 ↑</td>" in text


def test_cider_of_one_picture_is_a_dash_and_null(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [{"file_name": "a.png", "text": "Рыжий кот спит на диване."}])
    scores, markdown, table = (tmp_path / name for name in ("scores.json", "scores.md", "rows.csv"))
    done = run("evaluate", one, one, "--json", scores, "--markdown", markdown, "--rows", table)
    assert done.exit_code == 0, done.output
    assert json.loads(scores.read_text(encoding="utf-8"))["scores"]["cider_d"]["value"] is None
    assert "| CIDEr-D (of 10) ↑ | – | – … – |" in markdown.read_text(encoding="utf-8")
    with table.open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["cider_d"] == ""
    compared = run("compare", one, one, "--references", one, "--by", "cider_d", "--json", scores)
    assert compared.exit_code == 0, compared.output
    assert json.loads(scores.read_text(encoding="utf-8"))["scores"]["cider_d"]["difference"] is None
