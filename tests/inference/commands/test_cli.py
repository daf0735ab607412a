"""``python -m inference`` as a process, with a captioner that costs nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from inference.commands.caption import _readable
from inference.commands.timings import timings
from inference.common import processors
from tests.inference.fakes import PLAIN, POISON, WAIT, picture, write_checkpoint

ROOT = Path(__file__).parents[3]
Done = subprocess.CompletedProcess[str]


class Cli:
    """Runs commands in a folder of its own, which holds the models folder and the fakes' log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.gate = folder / "gate"
        self.checkpoint = write_checkpoint(folder / "checkpoints", "fake", card="Says [nothing] of note.")
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CAPTIONER": "tests.inference.fakes:load",
            "MODEL": "fake",
            "FAKE_LOG": str(self.log),
            "FAKE_GATE": str(self.gate),
            "COLUMNS": "100",
        }

    def run(self, *arguments: str, **environment: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "inference", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "inference", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def captioned(self) -> int:
        """How many pictures reached the captioner so far."""
        if not self.log.exists():
            return 0
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return sum(len(row.get("batch", ())) for row in rows)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def assert_one_sentence(done: Done, *parts: str) -> None:
    assert done.returncode == 2, done
    assert done.stdout == ""
    sentence = done.stderr.strip()
    assert sentence.count("\n") == 0 and sentence.endswith("."), done.stderr
    assert "Traceback" not in sentence
    for part in parts:
        assert part in sentence


def test_one_picture_is_described_to_a_reader(cli: Cli) -> None:
    cli.write("cat.png", picture(size=(40, 30)))
    done = cli.run("caption", "cat.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "40 x 30",
        f"Цвет {PLAIN}, потоков {processors.available()}",
        "",
        "СЛОВА",
        "вторые 40",
        "",
        "The picture is upside down: it is described the right way up.",
    ]
    assert done.stderr == "", "no progress bar for one picture"


def test_how_much_is_told_can_be_asked_for_and_is_not_mixed(cli: Cli) -> None:
    cli.write("cat.png", picture())
    done = cli.run("caption", "cat.png", "--detail", "short", "--no-quoting", "--output", "rows.jsonl")
    (row,) = rows_of((cli.folder / "rows.jsonl").read_text())
    told = {name: row["options"][name] for name in ("strategy", "detail", "quoting", "language")}
    assert told == {"strategy": "own", "detail": "short", "quoting": False, "language": "ru"}, done.stderr
    again = cli.run("caption", "cat.png", "--output", "rows.jsonl")
    assert (again.returncode, "choose another --output" in again.stderr) == (2, True)
    refused = cli.run("caption", "cat.png", "--language", "en")
    assert (refused.returncode, refused.stderr) == (2, "fake describes in ru only: choose that --language.\n")


def test_words_that_could_not_be_read_are_told() -> None:
    row = {"file_name": "a.png", "summary": "Картинка.", "text": "Кот.", "words": []}
    said = _readable({**row, "notes": ["unreadable", "low_confidence"]}, heading=False)
    assert said == "Кот.\n\nMost of the words on the picture could not be read."
    assert _readable({**row, "notes": []}, heading=False) == "Кот."
    quoted = {**row, "text": 'Кот. Подпись: "Ура".', "words": ["УРА", "КОТ"], "notes": []}
    assert _readable(quoted, heading=False) == 'Кот. Подпись: "Ура".\n\nКОТ', "what is quoted is not repeated"


def test_the_time_that_pictures_took_is_told_by_stage(cli: Cli) -> None:
    cli.write("cat.png", picture())
    cli.write("dog.png", picture())
    done = cli.run("caption", "cat.png", "dog.png", "--timings")
    stages = [line.split("│")[1].strip() for line in done.stderr.splitlines() if line.startswith("│")]
    assert stages == ["decode", "read", "encode", "generate", "total"]
    assert "of 2" in done.stderr and "│" not in done.stdout


def test_parts_stand_below_their_stage() -> None:
    small = {"decode": 0.01, "read": 0.0, "total": 0.02}
    usual = {"decode": 0.01, "read": 0.3, "read.detect": 0.2, "read.arrange": 0.1, "total": 0.32}
    table = timings([small, usual])
    assert list(table.columns[0].cells) == ["decode", "read", "  detect", "  arrange", "total"]
    assert list(table.columns[1].cells) == ["10", "150", "100", "50", "170"]
    assert list(table.columns[4].cells) == ["6%", "94%", "62%", "31%", ""]


def test_json_rows_carry_everything(cli: Cli) -> None:
    cli.write("cat.png", picture(size=(40, 30)))
    done = cli.run("caption", "cat.png", "--json")
    (row,) = rows_of(done.stdout)
    assert row["file_name"] == "cat.png"
    assert "Цвет" in row["text"] and row["summary"] == "40 x 30"
    assert row["words"] == ["СЛОВА", "вторые 40"]
    assert (row["model"], row["checkpoint"]) == ("fake", cli.checkpoint)
    assert set(row["seconds"]) == {"decode", "read", "encode", "generate", "total"}
    assert (row["confidence"], row["notes"]) == (0.5, ["upside_down"])
    assert "error" not in row


def test_a_folder_is_searched_to_the_bottom_for_pictures_by_name_or_content(cli: Cli) -> None:
    cli.write("memes/b.png", picture(size=(2, 2)))
    cli.write("memes/deep/er/a.JPG", picture(size=(3, 3)))
    cli.write("memes/no_suffix", picture(size=(4, 4)))
    cli.write("memes/letter.jpg", b"a letter")
    cli.write("memes/notes.txt", b"notes")
    cli.write("memes/.hidden/x.png", picture())
    done = cli.run("caption", "memes", "--json")
    assert done.returncode == 0
    rows = rows_of(done.stdout)
    assert [row["file_name"] for row in rows] == ["b.png", "deep/er/a.JPG", "letter.jpg", "no_suffix"]
    assert [row.get("summary") for row in rows] == ["2 x 2", "3 x 3", None, "4 x 4"]
    assert "text" not in rows[2] and "not a picture" in rows[2]["error"]
    assert "4/4" in done.stderr, "the progress bar"


def test_a_jsonl_names_pictures_beside_it_and_its_names_are_echoed(cli: Cli) -> None:
    cli.write("set/images/a.png", picture(size=(2, 2)))
    cli.write("set/images/b.png", picture(size=(3, 3)))
    names = ["images/a.png", "./images/b.png", "images/gone.png", "images/a.png"]
    text = "\n".join(
        json.dumps({"file_name": name, "text": "строка\u2028строка"}, ensure_ascii=False) for name in names
    )
    unkept = json.dumps({"file_name": None, "text": "exported, its picture was not kept"})
    cli.write("set/metadata.jsonl", f"{text}\n\n{unkept}\n".encode())
    rows = rows_of(cli.run("caption", "set/metadata.jsonl", "--json").stdout)
    assert [row["file_name"] for row in rows] == names[:3], "a name that comes twice is done once"
    assert [row.get("summary") for row in rows] == ["2 x 2", "3 x 3", None]
    assert "cannot be read" in rows[2]["error"]


def test_several_pictures_have_headings_and_refusals_in_their_place(cli: Cli) -> None:
    cli.write("a.png", picture())
    cli.write("b.png", b"")
    done = cli.run("caption", "a.png", "b.png")
    assert done.returncode == 0
    assert "== a.png\n32 x 24\n" in done.stdout
    assert "== b.png\nThe file is empty" in done.stdout


def test_the_exit_status_is_1_when_no_picture_got_a_caption(cli: Cli) -> None:
    cli.write("b.png", b"")
    done = cli.run("caption", "b.png")
    assert (done.returncode, done.stdout) == (1, "The file is empty: send the picture again.\n")


def test_a_poisonous_picture_is_an_error_row_and_the_others_are_described(cli: Cli) -> None:
    for number, colour in enumerate([PLAIN, POISON, PLAIN]):
        cli.write(f"memes/{number}.png", picture(colour))
    rows = rows_of(cli.run("caption", "memes", "--json").stdout)
    assert ["error" in row for row in rows] == [False, True, False]


def test_output_holds_the_rows_and_a_second_run_redoes_none(cli: Cli) -> None:
    for number in range(3):
        cli.write(f"memes/{number}.png", picture(size=(number + 1, 5)))
    cli.write("memes/empty.png", b"")
    done = cli.run("caption", "memes", "--output", "out/rows.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 captions, 1 pictures refused (4 done now, 0 before)" in done.stderr
    first = (cli.folder / "out/rows.jsonl").read_text()
    assert [row["file_name"] for row in rows_of(first)] == ["0.png", "1.png", "2.png", "empty.png"]

    cli.write("memes/3.png", picture(size=(4, 5)))
    done = cli.run("caption", "memes", "--output", "out/rows.jsonl")
    assert "(1 done now, 4 before)" in done.stderr
    second = (cli.folder / "out/rows.jsonl").read_text()
    assert second.startswith(first)
    assert rows_of(second)[-1]["file_name"] == "3.png"
    assert cli.captioned() == 4


def test_a_killed_run_goes_on_where_it_was(cli: Cli) -> None:
    for number in range(12):
        cli.write(f"memes/{number:02}.png", picture(WAIT if number == 10 else PLAIN))
    output = cli.folder / "rows.jsonl"
    running = cli.start("caption", "memes", "--output", "rows.jsonl", "--batch-size", "1")
    deadline = time.monotonic() + 30
    while not output.exists() or output.read_text().count("\n") < 10:
        assert time.monotonic() < deadline, "ten rows within 30 s"
        time.sleep(0.01)
    running.kill()
    running.communicate()
    with output.open("a") as file:
        file.write('{"file_name": "10.png", "te')  # what a write that was cut off leaves

    cli.gate.touch()
    done = cli.run("caption", "memes", "--output", "rows.jsonl")
    assert "(2 done now, 10 before)" in done.stderr
    assert [row["file_name"] for row in rows_of(output.read_text())] == [f"{n:02}.png" for n in range(12)]


def test_ctrl_c_says_how_to_go_on(cli: Cli) -> None:
    cli.write("memes/0.png", picture())
    cli.write("memes/1.png", picture(WAIT))
    running = cli.start("caption", "memes", "--output", "rows.jsonl", "--batch-size", "1")
    deadline = time.monotonic() + 30
    while cli.captioned() < 2:
        assert time.monotonic() < deadline, "the second picture is in work within 30 s"
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "the same command goes on from there" in stderr and "Traceback" not in stderr


def test_rows_are_no_table(cli: Cli) -> None:
    done = cli.run("caption", "nothing.png", "--output", "rows.csv")
    assert_one_sentence(done, "name a .jsonl file instead of rows.csv")
    assert not (cli.folder / "rows.csv").exists()


def test_rows_of_another_model_are_not_mixed(cli: Cli) -> None:
    write_checkpoint(cli.folder / "checkpoints", "other")
    cli.write("a.png", picture())
    cli.run("caption", "a.png", "--output", "rows.jsonl")
    done = cli.run("caption", "a.png", "--output", "rows.jsonl", "--model", "other")
    assert_one_sentence(done, "line 1 is by fake", "not by other", "choose another --output")


def test_rows_of_another_version_of_the_program_are_not_mixed(cli: Cli) -> None:
    cli.write("a.png", picture())
    cli.run("caption", "a.png", "--output", "rows.jsonl")
    rows = cli.folder / "rows.jsonl"
    rows.write_text(json.dumps({**json.loads(rows.read_text("utf-8")), "program": "older"}) + "\n")
    done = cli.run("caption", "a.png", "--output", "rows.jsonl")
    assert_one_sentence(done, "line 1 is by another version of this program", "choose another --output")


def test_every_slip_of_the_user_is_one_sentence(cli: Cli) -> None:
    cli.write("a.png", picture())
    cli.write("x/a.png", picture())
    cli.write("y/a.png", picture())
    (cli.folder / "empty").mkdir()
    cli.write("bad.jsonl", b'{"file_name": "a.png"}\nnot json\n')
    cli.write("nameless.jsonl", b'{"text": "a.png"}\n')
    cli.write("latin.jsonl", "{'файл'}".encode("cp1251"))
    assert_one_sentence(cli.run("caption", "gone.png"), "gone.png does not exist")
    assert_one_sentence(cli.run("caption", "empty"), "No pictures in empty")
    assert_one_sentence(cli.run("caption", "x", "y"), "would both be called a.png")
    assert_one_sentence(cli.run("caption", "bad.jsonl"), "bad.jsonl, line 2 is not a JSON object")
    assert_one_sentence(cli.run("caption", "nameless.jsonl"), "line 1: there is no file_name")
    assert_one_sentence(cli.run("caption", "latin.jsonl"), "latin.jsonl cannot be read")
    assert_one_sentence(cli.run("caption", "a.png", "--model", "nobody"), "no model named 'nobody'", "fake")
    assert_one_sentence(cli.run("caption", "a.png", "--output", "empty"), "empty cannot be written")
    assert_one_sentence(cli.run("caption", "a.png", "--output", "a.png/b"), "a.png/b cannot be written")
    assert_one_sentence(
        cli.run("caption", "a.png", "--output", "nameless.jsonl"), "line 1 is not a caption's"
    )
    broken = cli.run("caption", "a.png", CAPTIONER="tests.inference.fakes:load_broken")
    assert_one_sentence(broken, "The model fake cannot be loaded: config.json has no 'encoder'")


def test_settings_that_are_no_utf_8_are_one_sentence(cli: Cli) -> None:
    """As an editor of Windows saves them, whoever reads them."""
    cli.write(".env", "# Ключи\nSERVE_API_KEYS=secret".encode("cp1251"))
    cli.write("a.png", picture(size=(40, 30)))
    said = "The settings in .env cannot be read (it is not UTF-8): save it as UTF-8"
    assert_one_sentence(cli.run("serve", "--port", "0"), said)
    assert_one_sentence(cli.run("caption", "a.png", "--model", "openai:any"), said)
    assert_one_sentence(cli.run("caption", "a.png", "--model", "hf:org/any"), said)


def test_models_are_listed(cli: Cli) -> None:
    done = cli.run("models")
    assert done.returncode == 0
    assert all(
        part in done.stdout for part in ("fake", "0.0 M", cli.checkpoint[:12], "Says [nothing] of note.")
    )
    assert all(part in done.stdout for part in ("clipcap-transformer", "53.6 M", "266.7 M", "rudolph"))
    command = "python -m train_scripts reproduce resnet101-lstm-navec"
    lines = done.stdout.splitlines()
    assert any(line.endswith(command) for line in lines), "whole on one line, whatever the terminal's width"
    row, *others = rows_of(cli.run("models", "--json").stdout)
    assert row == {
        "kind": "model",
        "name": "fake",
        "checkpoint": cli.checkpoint,
        "parameters": 6,
        "description": "Says [nothing] of note.",
        "scores": {},
    }
    missing = {one["name"]: one["command"] for one in others if one["kind"] == "missing"}
    assert missing["rudolph"].endswith("python -m train_scripts reproduce rudolph") and "fake" not in missing
    presets = [one for one in others if one["kind"] == "preset"]
    sizes = {preset["name"]: (preset["trainable"], preset["parameters"]) for preset in presets}
    assert sizes["clipcap-mlp"] == (31_468_800, 244_622_592)
    # Without a checkpoint there are still the presets.
    nothing = cli.run("models", "--models-dir", "nowhere")
    assert nothing.returncode == 0
    assert "There is no model in nowhere yet: put a checkpoint there" in nothing.stderr
    assert "resnet50-lstm" in nothing.stdout
    file = cli.run("models", "--models-dir", "checkpoints/fake/config.json")
    assert file.returncode == 2
    assert "is a file" in " ".join(file.stderr.replace("│", " ").split())


def test_a_preset_without_weights_says_how_to_get_them(cli: Cli) -> None:
    done = cli.run("caption", "a.png", "--model", "clipcap-mlp")
    assert_one_sentence(done, "The preset 'clipcap-mlp' has no weights in checkpoints yet: make them")


def test_nothing_is_fetched_to_be_verified(cli: Cli) -> None:
    """The hub's client would tell of each of its tries."""
    done = cli.run("verify", "hf:org/any", HF_HUB_CACHE=str(cli.folder))
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("The hub model org/any is not on this machine: connect to the internet")


def test_torch_is_not_imported_before_captioning() -> None:
    code = "import sys, inference.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


ODD = {
    os.fsdecode("кот.png".encode("cp866")): "%AA%AE%E2.png",
    os.fsdecode("архив/кот 100%.png".encode("cp1251")): "%E0%F0%F5%E8%E2/%EA%EE%F2 100%25.png",
    os.fsdecode(b"\xffbroken.png"): "%FFbroken.png",
    "две\nстроки.png": "две\nстроки.png",
    'табуляция\tи "кавычки".png': 'табуляция\tи "кавычки".png',
    "\x1b[31mкрасный.png": "\x1b[31mкрасный.png",
    "кот 😀.png": "кот 😀.png",
}


def write_odd(cli: Cli) -> None:
    for name in ODD:
        cli.write(f"pictures/{name}", b"no picture" if "broken" in name else picture(size=(40, 30)))


def test_every_file_name_gets_one_row_and_is_not_done_again(cli: Cli) -> None:
    write_odd(cli)
    done = cli.run("caption", "pictures", "--output", "rows.jsonl")
    assert done.returncode == 0, done.stderr
    data = (cli.folder / "rows.jsonl").read_bytes()
    rows = {row["file_name"]: row for row in rows_of(data.decode())}
    assert sorted(rows) == sorted(ODD.values())
    assert [name for name, row in rows.items() if "error" in row] == ["%FFbroken.png"]
    assert "%FFbroken.png: " in done.stderr
    captioned = cli.captioned()
    again = cli.run("caption", "pictures", "--output", "rows.jsonl")
    assert again.returncode == 0, again.stderr
    assert f"(0 done now, {len(ODD)} before)" in again.stderr
    assert cli.captioned() == captioned
    assert (cli.folder / "rows.jsonl").read_bytes() == data
    # The rows find their pictures again.
    third = cli.run("caption", "rows.jsonl", "--json")
    assert third.returncode == 1, "rows.jsonl lies in another folder than the pictures"
    cli.write("pictures/rows.jsonl", data)
    found = cli.run("caption", "pictures/rows.jsonl", "--json")
    assert {row["file_name"] for row in rows_of(found.stdout) if "text" in row} == set(ODD.values()) - {
        "%FFbroken.png"
    }


@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_every_file_name_is_printed_on_one_line(cli: Cli, environment: dict[str, str]) -> None:
    write_odd(cli)
    done = cli.run("caption", "pictures", **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    headings = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert len(headings) == len(ODD)
    assert {"== %AA%AE%E2.png", "== %FFbroken.png"} <= set(headings)
    assert "\x1b" not in done.stdout


def test_a_picture_named_on_the_command_line_may_have_any_name(cli: Cli) -> None:
    write_odd(cli)
    names = sorted(name for name in ODD if "broken" not in name)
    done = cli.run("caption", "--json", *(f"pictures/{name}" for name in names))
    assert done.returncode == 0, done.stderr
    assert {row["file_name"] for row in rows_of(done.stdout)} == {f"pictures/{ODD[name]}" for name in names}
    missing = cli.run("caption", os.fsdecode(b"\xea\xee\xf2.png"))
    assert_one_sentence(missing, "%EA%EE%F2.png does not exist")
    for argument in ("--models-dir", "--model"):
        nowhere = cli.run("caption", "pictures", argument, os.fsdecode(b"\xea\xee\xf2"))
        assert_one_sentence(nowhere)
    unknown = cli.run("verify", os.fsdecode(b"\xea\nb"))
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr
    assert unknown.stderr.count("\n") == 1


def test_rows_written_on_other_systems_name_their_pictures(cli: Cli) -> None:
    apart = unicodedata.normalize("NFD", "йод.png")
    for name in (apart, "a.png", "images/b.PNG", "мой кот.png", "c.png", "C.png"):
        cli.write(f"data/{name}", picture(size=(40, 30)))
    names = ["йод.png", ".\\a.png", "images\\b.png", "%D0%BC%D0%BE%D0%B9%20кот.png", "C.PNG", "a\0b.png"]
    rows = [json.dumps({"file_name": name}, ensure_ascii=False) for name in names]
    rows.append('{"file_name": "cut \\ud83d.png"}')
    cli.write("data/rows.jsonl", b"\xef\xbb\xbf" + "\n".join(rows).encode())
    done = cli.run("caption", "data/rows.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    found = {row["file_name"]: row for row in rows_of(done.stdout)}
    assert list(found) == [*names, "cut ?.png"]
    assert [name for name, row in found.items() if "text" in row] == names[:4]
    assert "C.PNG may be any of data/C.png, data/c.png: name the one" in found["C.PNG"]["error"]
