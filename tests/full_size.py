"""``python -m tests.full_size [PRESET ...]``: every preset at full size, with real numbers.

For each: build it with random weights, make a training step (forward, backward, optimiser), save it, and let
a new process load it: its caption of a picture must be the one that this process says. Prints a table row a
preset, and keeps them in ``--results``: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import torch
import typer
from rich.console import Console
from rich.table import Table

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.decoding.decoder import Logits, Tokens
from inference.decoding.processors import NEVER
from inference.presets.preset import names as preset_names
from inference.presets.preset import preset
from inference.reading.lines import TextLine
from tests.inference.learning import CAPTIONS, calibrate, pictures, tokenizer_for
from tests.readings import reading_of

READ = reading_of([TextLine("Красный круг", (0.1, 0.1, 0.9, 0.2), 0.9, 0)])
OPTIONS = DecodingOptions("greedy", max_tokens=12)
BESIDE = "import sys; from tests.full_size import describe_all; describe_all(sys.argv[1])"


def check(name: str, folder: Path) -> dict[str, Any]:
    """The preset built, trained by a step on two pictures and saved in ``folder``; what was measured.

    At full size in all but the vocabulary's content: the tokenizer knows a few words, and the decoder keeps
    the preset's number of them.
    """
    torch.manual_seed(0)
    resident = _forget_peak()
    started = time.perf_counter()
    system = preset(name)
    model = build(system)
    model.tokenizer = tokenizer_for(name, folder)
    built = time.perf_counter() - started
    # As a trained network would see: after a hundred layers of random weights nothing is left to learn from.
    calibrate(model.encoder, model.encoder.pixels(pictures()[:2]))
    trainable, parameters = model.count()
    expected = (system.trainable, system.parameters)
    if (trainable, parameters) != expected:
        raise AssertionError(f"{name} has {trainable} and {parameters} parameters, not {expected}")
    stepped = time.perf_counter()
    before = [p.detach().clone() for p in _learns(model)[:3]]
    loss = _step(model)
    moved = all(not torch.equal(old, new) for old, new in zip(before, _learns(model)[:3], strict=True))
    if not moved or not loss > 0:
        raise AssertionError(f"{name} does not learn: loss {loss}")
    stepped = time.perf_counter() - stepped
    saved = time.perf_counter()
    model.save(folder, system.options, preset=name)
    saved = time.perf_counter() - saved
    text, tokens = _caption(model)
    (folder / "expected.json").write_text(json.dumps([text, tokens]), encoding="utf-8")
    return {
        "preset": name,
        "trainable": trainable,
        "parameters": parameters,
        "build": built,
        "step": stepped,
        "loss": loss,
        "save": saved,
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "caption": text,
        "tokens": len(tokens),
        "peak": _peak(),
        "grown": _peak() - resident,
    }


def _learns(model: CaptionModel) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.decoder.parameters() if parameter.requires_grad][-3:]


def _step(model: CaptionModel) -> float:
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    pixels = model.encoder.pixels(pictures()[:2])
    loss = model.loss(pixels, model.batch(CAPTIONS[:2]))
    loss.backward()
    if any(parameter.grad is None for parameter in trained):
        raise AssertionError("a parameter that should learn got no gradient")
    torch.optim.SGD(trained, lr=1e-2).step()
    model.zero_grad(set_to_none=True)
    model.eval()
    return float(loss.detach())


def _caption(model: CaptionModel) -> tuple[str, list[int]]:
    """Of a picture with a line of words; the tokens are those that the small tokenizer can write."""
    assert model.tokenizer is not None
    size = len(model.tokenizer)

    def known(_: Tokens, logits: Logits) -> Logits:
        return np.where(np.arange(logits.shape[1]) < size, logits, NEVER)

    with torch.inference_mode():
        memory = model.encode(pictures()[6:7])
        (tokens,) = model.generate(memory, OPTIONS, [READ], processors=[known]).tokens
    return model.tokenizer.decode(tokens), tokens


def describe_all(root: str) -> None:
    """In the new process: every checkpoint under ``root``, loaded and asked; one JSON line each."""
    for folder in sorted(path.parent for path in Path(root).glob("*/config.json")):
        started = time.perf_counter()
        model = CaptionModel.load(folder)
        loaded = time.perf_counter() - started
        answer = _caption(model)
        del model
        gc.collect()
        print(json.dumps([folder.name, loaded, answer, _peak()]), flush=True)


def _peak() -> float:
    """The highest resident memory of this process so far, bytes."""
    status = Path(f"/proc/{psutil.Process().pid}/status").read_text(encoding="ascii")
    return 1024 * float(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def _forget_peak() -> float:
    """The resident memory, bytes; the highest counts from now on, since in a process that did other things
    before it was theirs.
    """
    gc.collect()
    # proc(5): "5" resets the peak to the present resident memory.
    Path(f"/proc/{psutil.Process().pid}/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def new_process(root: Path) -> str:
    """What `describe_all` prints in one.

    Raises AssertionError with what it says when it fails.
    """
    beside = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BESIDE, str(root)], capture_output=True, text=True, check=False
    )
    if beside.returncode:
        raise AssertionError(beside.stderr)
    return beside.stdout


def prove(
    names: Sequence[str], root: Path, beside: Callable[[Path], str] = new_process
) -> list[dict[str, Any]]:
    """Every named preset through all of it: all are saved, then one new process loads them one by one.

    ``beside``: starts that process. Raises AssertionError when one does not come back as it was.
    """
    rows = {}
    for name in names:
        folder = root / name
        folder.mkdir()
        rows[name] = check(name, folder)
        gc.collect()
    printed = beside(root)
    for line in printed.splitlines():
        name, loaded, answer, peak = json.loads(line)
        expected = json.loads((root / name / "expected.json").read_text(encoding="utf-8"))
        if answer != expected or not answer[1]:
            raise AssertionError(f"{name} says {answer} in a new process, not {expected}")
        rows[name] |= {"load": loaded, "load_peak": peak}
    if any("load" not in row for row in rows.values()):
        raise AssertionError(f"the new process did not answer for all: {printed}")
    return list(rows.values())


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="PRESET", help="None: all.")] = None,
    results: Annotated[Path, typer.Option(help="Where finished rows are kept.")] = Path(
        "runs/full_size.jsonl"
    ),
) -> None:
    """Build, count, train by a step, save, load in a new process: the same caption."""
    results.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    finished = {row["preset"] for row in done}
    for name in names or preset_names():
        if name in finished:
            continue
        with tempfile.TemporaryDirectory() as place:
            (row,) = prove([name], Path(place))
        done.append(row)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        typer.echo(f"{name}: the same caption in a new process", err=True)
    table = Table(title="Full size, random weights, float32")
    table.add_column("Preset", no_wrap=True)
    for column in ("Trained, M", "All, M", "Step, s", "File, MB", "Load, s", "Highest memory, MB", "Tokens"):
        table.add_column(column, justify="right")
    for row in done:
        table.add_row(
            row["preset"],
            f"{row['trainable'] / 1e6:.2f}",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['step']:.1f}",
            f"{row['megabytes']:.0f}",
            f"{row['load']:.1f}",
            f"{max(row['peak'], row['load_peak']) / 1e6:.0f}",
            f"{row['tokens']} the same",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
