"""The benchmark runs, and measures what it says. No number is asserted: they are for people to read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch

from inference.decoders.gpt_prefix import GptPrefixConfig, GptPrefixDecoder
from tests.benchmarks import clipcap, lines, sampling, searching, versions
from tests.benchmarks.figures import Row, cells, multiplies_bfloat16
from tests.benchmarks.measure import ROOT, quantile
from tests.drawing import Kind, draw_meme, jpeg_bytes
from tests.inference.fakes import write_checkpoint
from tests.inference.speaking import speaking

COMMAND = [sys.executable, "-m", "tests.benchmarks"]
# As much of another version as tests/benchmarks/probe.py asks for: quick, and of other captions.
OTHER_VERSION = {
    "inference/captioners/captioner.py": """
from types import SimpleNamespace

def load_captioner(name, models_dir, *, threads):
    return SimpleNamespace(caption=lambda images: [SimpleNamespace(text="Что-то.", words=[])])
""",
    "inference/pictures/opening.py": """
from types import SimpleNamespace

def load_picture(data):
    return SimpleNamespace(image=data)
""",
    "inference/serving/engine.py": "EngineSettings = dict",
    "tests/benchmarks/measure.py": """
from types import SimpleNamespace

async def whole_bot(settings, pictures, folder):
    memory = SimpleNamespace(rss=2e8)
    return SimpleNamespace(first_answer=0.5, latencies=[0.5], bot=memory, worker=memory)

async def engine_alone(settings, pictures, cores):
    return SimpleNamespace(seconds=lambda stage: [0.5] * len(pictures))
""",
    "torch/__init__.py": "from torch import cpu",
    "torch/cpu.py": "",
}


def test_one_command_prints_every_table(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "models", "fake")
    environment = {**os.environ, "COLUMNS": "100", "CAPTIONER": "tests.inference.fakes:load"}
    arguments = ["--model", "fake", "--models-dir", str(tmp_path / "models"), "--count", "3"]
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for heading in (
        f"fake ({checkpoint[:12]})",
        "Seconds per picture, 2 pictures one at a time",
        "Start to first answer",
        "Resident memory, MB",
        "The bot, 2 photos one at a time",
    ):
        assert heading in done.stdout
    table = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    assert {"decode", "read", "encode", "generate", "total", "worker", "both"} <= table.keys()
    bot, worker = (float(table[name].split("│")[2]) for name in ("bot", "worker"))
    assert bot > 20 and worker > 20, "megabytes of two live Python processes"


def test_a_picture_is_timed_alone_and_beside_busy_processes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "models", "fake")
    environment = {**os.environ, "COLUMNS": "100", "CAPTIONER": "tests.inference.fakes:load"}
    arguments = ["--model", "fake", "--models-dir", str(tmp_path / "models")]
    done = subprocess.run(
        [*COMMAND, "busy", *arguments, "--count", "2", "--rounds", "1", "--beside", "1"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert rows == ["0", "1"]


def test_busy_processes_end_with_a_benchmark_that_is_killed() -> None:
    program = "from tests.benchmarks.busy import busy\nwith busy(1): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as benchmark:
        assert benchmark.stdout is not None
        assert benchmark.stdout.readline() == b"\n"
        (started,) = psutil.Process(benchmark.pid).children()
        benchmark.kill()
        started.wait(60)


def test_two_versions_are_measured_in_turn_and_end_in_a_table_and_a_plot(tmp_path: Path) -> None:
    before = tmp_path / "before"
    for name, text in OTHER_VERSION.items():
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        (before / name).write_text(text, encoding="utf-8")
    memes = tmp_path / "memes"
    memes.mkdir()
    rows = []
    kinds: list[Kind] = ["photo", "caption_bar", "tweet"]
    for number, kind in enumerate(kinds):
        (memes / f"{number}.jpg").write_bytes(jpeg_bytes(draw_meme(kind, width=240)))
        rows.append(json.dumps({"file_name": f"{number}.jpg", "text": "мем"}))
    (memes / "val.jsonl").write_text("\n".join(rows), encoding="utf-8")
    out = tmp_path / "out"
    done = subprocess.run(
        [*COMMAND, "versions", before, memes, "--count", "3", "--rounds", "1", "--beside", "1", "--out", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "same caption as before on 0 of 3 memes" in " ".join(done.stdout.split())
    table = (out / "versions.md").read_text(encoding="utf-8")
    figures = json.loads((out / "versions.json").read_text(encoding="utf-8"))
    assert len({figure["what"] for figure in figures}) == (8 if multiplies_bfloat16() else 6)
    assert all(figure["what"] in table and figure["before"] > 0 < figure["now"] for figure in figures)
    assert "<svg" in (out / "versions.svg").read_text(encoding="utf-8")
    for version in ("before", "now"):
        text = (out / f"{version}.jsonl").read_text(encoding="utf-8")
        said = [json.loads(line) for line in text.splitlines()]
        assert [one["file_name"] for one in said] == ["0.jpg", "1.jpg", "2.jpg"]
        assert all((one["text"] == "Что-то.") == (version == "before") for one in said)


def test_how_many_captions_are_the_same_is_told_for_each_other_version() -> None:
    said = {"before": ["Кот.", "Пёс."], "before, exactly": ["Кот.", "Ёж."], "now": ["Кот.", "Ёж."]}
    found = {name: [{"text": text} for text in texts] for name, texts in said.items()}
    assert versions.same_captions(found) == [
        "same caption as before on 1 of 2 memes",
        "same caption as before, exactly on 2 of 2 memes",
    ]


@pytest.mark.parametrize(
    ("module", "preset", "others"), [(clipcap, "clipcap-mlp", 10), (sampling, "resnet101-lstm-navec", 3)]
)
def test_graphs_are_set_beside_the_originals_of_the_same_weights(
    module: ModuleType, preset: str, others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `versions --full-size` adds, with small models."""
    model = speaking(preset, tmp_path).eval()
    weights = dict(model.decoder.named_parameters())
    with torch.no_grad():  # the end is never said
        if module is clipcap:
            weights["gpt.transformer.wte.weight"][-1] = 0
        else:
            weights["output.bias"][sampling.END] = -1e4
    monkeypatch.setattr(module, "full_size", lambda: (model, model.decoder))
    rows = module.rows(1, 8)
    assert len({row.what for row in rows}) == others
    assert all(row.before > 0 < row.now for row in rows)


def test_a_figure_is_shown_with_as_many_digits_as_say_something() -> None:
    assert cells(Row("memory", "MB", 1852.4, 549.2)) == ("1852 MB", "549 MB", "3.37")
    assert cells(Row("a token", "ms", 78.44, 9.957)) == ("78.4 ms", "9.96 ms", "7.88")


def test_drawn_lines_are_read_and_counted_by_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `python -m tests.benchmarks lines` does with its three hundred, for two."""
    some = tmp_path / "lines.toml"
    some.write_text('words = ["Кот спит на столе"]\nsums = ["2 + 2 = 4"]\n', encoding="utf-8")
    monkeypatch.setattr(lines, "LINES_FILE", some)
    before = torch.get_num_threads()
    try:
        lines.lines()
    finally:
        torch.set_num_threads(before)
    table = {
        row.split("│")[1].strip(): row.split("│")[2].strip()
        for row in capsys.readouterr().out.splitlines()
        if row.startswith("│")
    }
    assert table.keys() == {"words", "sums", "all"}
    assert table["words"] == "0.000"


def test_the_share_of_the_bot_is_told_for_a_crowd() -> None:
    done = subprocess.run(
        [*COMMAND, "crowd", "--pictures", "6", "--people", "3"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = [line.split("│")[1:3] for line in done.stdout.splitlines() if line.startswith("│")]
    table = {name.strip(): float(value) for name, value in cells}
    assert table["pictures answered a second"] > 0
    assert table["sendMessage"] >= 1 and table["getFile"] == 1, "each is fetched and answered"


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--models-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "put a checkpoint there first" in done.stderr


def test_quantiles_are_linear_between_neighbours() -> None:
    assert quantile([5.0], 0.95) == 5.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([float(value) for value in range(101)], 0.95) == pytest.approx(95.0)


def test_the_three_ways_of_clipcaps_search_find_the_same_tokens() -> None:
    """What makes their times comparable, here on a small model; at full size the command itself says it."""
    torch.manual_seed(0)
    sizes = GptPrefixConfig(vocabulary=50, pictures=(8,), prefix=4, width=32, layers=2, heads=4, positions=40)
    decoder = GptPrefixDecoder(sizes).eval()
    with torch.no_grad():
        for parameter in decoder.gpt.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        decoder.gpt.transformer.wte.weight[-1] = 0
    memory = torch.randn(1, 8)
    for beams in (1, 5):
        ways = clipcap.ways(decoder, {}, memory, beams, 12)
        result = searching.measure(ways, 2, 12)
        assert result.same
        assert set(result.seconds) == set(clipcap.WAYS)
        assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in result.seconds.values())
        assert result.ratio(clipcap.OURS, clipcap.OURS) == 1.0
