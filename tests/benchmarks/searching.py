"""Ways of finding the same sentence, timed in turn in one process; decoders of graphs among them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from safetensors.numpy import save_file

from inference.captioners.encoder_decoder.graphs.captioner import open_decoder
from inference.captioners.encoder_decoder.graphs.folder import DRAFT_FILE
from inference.captioners.encoder_decoder.graphs.parts import DRAFT
from inference.checkpoints.mapped import MappedWeights
from inference.decoding.decoder import Decoder
from tests.benchmarks.measure import MEGABYTE, Memory

EXACT, ROUNDED, DRAFTED = "graphs", "graphs, int8", "graphs, drafted"
_WEIGHTS, _SETTINGS = "model.safetensors", "settings.json"

Way = Callable[[], list[int]]


@dataclass(slots=True)
class Result:
    """What each way took."""

    seconds: dict[str, list[float]] = field(default_factory=dict)  # by way, one a round
    processor: dict[str, list[float]] = field(default_factory=dict)  # seconds of all cores, likewise
    same: bool = True  # every exact way found the same tokens in every round

    def ratio(self, slow: str, fast: str, *, processor: bool = False) -> float:
        """How many times as long as ``fast`` the way ``slow`` took, by the clock or of the processor: the
        median over rounds, whose ways ran side by side. Where others use the machine too, the processor's is
        the steadier."""
        spent = self.processor if processor else self.seconds
        return statistics.median(a / b for a, b in zip(spent[slow], spent[fast], strict=True))


def measure(
    ways: Mapping[str, Way],
    rounds: int,
    length: int,
    *,
    free: Collection[str] = (ROUNDED,),
    report: Callable[[str], None] = lambda _: None,
) -> Result:
    """Every way in turn, round after round; a call of each before the clock starts. ``free``: ways that may
    find other tokens, but as many. ``report`` hears of every call's seconds."""
    result, names = Result(), list(ways)
    for way in ways.values():
        way()
    for number in range(rounds):
        said = {}
        # Another one begins every round: none always has the machine at its coolest.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started, spent = time.perf_counter(), time.process_time()
            said[name] = ways[name]()
            result.seconds.setdefault(name, []).append(time.perf_counter() - started)
            result.processor.setdefault(name, []).append(time.process_time() - spent)
            report(f"round {number + 1}, {name}: {result.seconds[name][-1]:.2f} s")
        exact = [tokens for name, tokens in said.items() if name not in free]
        result.same &= all(tokens == exact[0] for tokens in exact)
        result.same &= all(len(tokens) == length for tokens in said.values())
    return result


@contextmanager
def graphs_of(model: object) -> Iterator[dict[str, Path]]:
    """Folders with the graphs of a CaptionModel in float32, with weights of 8 bits, and in float32 with
    guesses in 8 bits, by their ways."""
    from inference.captioners.encoder_decoder.graphs.rounding import round_graphs, write_rounded
    from inference.captioners.encoder_decoder.graphs.writing import write
    from inference.captioners.encoder_decoder.model import CaptionModel

    assert isinstance(model, CaptionModel)
    with TemporaryDirectory() as root:
        folders = {EXACT: Path(root) / "exact", ROUNDED: Path(root) / "rounded"}
        folders[EXACT].mkdir()
        write(model, folders[EXACT])
        (folders[EXACT] / _SETTINGS).write_text(json.dumps(model.decoder.settings), encoding="utf-8")
        shutil.copytree(folders[EXACT], folders[ROUNDED])
        weights = {name: tensor.contiguous().numpy() for name, tensor in model.state_dict().items()}
        save_file(weights, folders[EXACT] / _WEIGHTS)
        save_file(round_graphs(folders[ROUNDED], weights), folders[ROUNDED] / _WEIGHTS)
        folders[DRAFTED] = Path(root) / "drafted"
        shutil.copytree(folders[EXACT], folders[DRAFTED], copy_function=os.link)
        save_file(write_rounded(folders[DRAFTED], weights, DRAFT), folders[DRAFTED] / DRAFT_FILE)
        yield folders


def opened(folder: Path, threads: int | None) -> Decoder:
    """The decoder of one of these folders."""
    settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    weights = MappedWeights(folder / _WEIGHTS)
    decoder = open_decoder(folder, weights, settings, threads=threads)
    weights.forget()
    return decoder


def memory_of(folder: Path, width: int, length: int) -> str:
    """What a process takes that holds this decoder alone, after a sentence of ``length`` steps."""
    command = [sys.executable, "-m", "tests.benchmarks.searching", str(folder), str(width), str(length)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _speak_alone(folder: str, width: str, length: str) -> None:
    decoder = opened(Path(folder), None)
    state = decoder.start((np.zeros((1, int(width)), np.float32),))
    for token in range(int(length)):
        _, state = decoder.step(state, np.array([token + 2]))
    taken = Memory.of(psutil.Process())
    print(f"{taken.rss / MEGABYTE:.0f} MB, {taken.peak / MEGABYTE:.0f} MB at its highest")


if __name__ == "__main__":
    _speak_alone(*sys.argv[1:])
