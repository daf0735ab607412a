"""``python -m tests.benchmarks sampling``: ResNet-101 + LSTM at full size beside its original's loop.

The original draws each of up to 100 words from the softmax of the whole vocabulary, with numpy. Ours draws
from the same probabilities with generators of its own: the words are others, as many are drawn, and the same
by each of our ways in float32.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.processors import available
from inference.common.types import DecodingOptions
from inference.decoders.recurrent import RecurrentDecoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.decoder import Decoder
from inference.decoding.processors import Forbid
from inference.decoding.search import generate
from inference.presets.preset import preset
from tests.benchmarks.fetching import fetched
from tests.benchmarks.figures import Row
from tests.benchmarks.searching import ROUNDED, Result, Way, graphs_of, measure, memory_of, opened

NAME = "resnet101-lstm-navec"
OURS, ORIGINAL = "PyTorch", "original"
END, UNKNOWN = 0, 1


def full_size() -> tuple[CaptionModel, RecurrentDecoder]:
    """The preset with random weights, whose end is never drawn."""
    torch.manual_seed(0)
    model = build(preset(NAME)).eval()
    decoder = _of_lstm(model)
    with torch.no_grad():
        decoder.output.bias[END] = -1e4
    return model, decoder


def _of_lstm(model: CaptionModel) -> RecurrentDecoder:
    if not isinstance(model.decoder, RecurrentDecoder):
        raise TypeError(f"{NAME} has another decoder now: change the benchmark.")
    return model.decoder


def original(decoder: RecurrentDecoder, memory: Tensor, length: int) -> list[int]:
    """A word at a time: the network, a softmax, the unknown word's share spread over the others, a draw."""
    said: list[int] = []
    random = np.random.default_rng(0)
    config = decoder.config
    hidden = (torch.zeros(config.layers, 1, config.hidden), torch.zeros(config.layers, 1, config.hidden))
    with torch.no_grad():
        x = decoder.bridge(memory)
    while len(said) < length:
        with torch.no_grad():
            top, hidden = decoder.rnn(x[:, None], hidden)
            p = decoder.output(top).squeeze(1).softmax(1).numpy()[0].astype(np.float64)
        p += p[UNKNOWN] / (len(p) - 1)
        p[UNKNOWN] = 0
        said.append(int(random.choice(len(p), p=p / p.sum())))
        if said[-1] == END:
            break
        x = decoder.embedding(torch.tensor(said[-1]))[None]
    return said


def ours(decoder: Decoder, memory: object, length: int) -> list[int]:
    """The same by our search."""
    options = DecodingOptions("sample", seed=0, max_tokens=length)
    forbidden = [Forbid((UNKNOWN,))]
    (tokens,) = generate(decoder, memory, options, bos=END, eos=END, pad=END, processors=forbidden).tokens
    return tokens


def timed(
    model: CaptionModel, folders: Mapping[str, Path], *, length: int, rounds: int, threads: int
) -> Result:
    """Every way over the model of :func:`full_size` and the graphs of it."""
    decoder = _of_lstm(model)
    memory = torch.randn(1, decoder.config.picture)
    ways: dict[str, Way] = {
        name: partial(ours, opened(folder, threads), (memory.numpy(),), length)
        for name, folder in folders.items()
    }
    ways[OURS] = partial(ours, TorchDecoder(decoder), memory, length)
    ways[ORIGINAL] = partial(original, decoder, memory, length)
    return measure(ways, rounds, length, free=(ORIGINAL, ROUNDED))


def rows(rounds: int, length: int = 100) -> list[Row]:
    """Milliseconds a word of the graphs, beside the original's."""
    threads = available()
    torch.set_num_threads(threads)
    model, _ = full_size()
    with graphs_of(model) as folders:
        result = timed(model, folders, length=length, rounds=rounds, threads=threads)
    return [
        Row(
            f"ResNet-101 + LSTM, {way}: a word ({ORIGINAL} before)",
            "ms",
            *(1000 * statistics.median(result.seconds[name]) / length for name in (ORIGINAL, way)),
        )
        for way in folders
    ]


def main(
    length: Annotated[int, typer.Option(min=2, help="Words of a caption.")] = 100,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Not given: all that may be used.")] = None,
) -> None:
    """Time the sampling of a caption behind what the encoder yields."""
    threads = threads or available()
    torch.set_num_threads(threads)
    model, decoder = full_size()
    with graphs_of(model) as folders:
        result = timed(model, folders, length=length, rounds=rounds, threads=threads)
        table = Table("Way", title=f"{NAME}, {length} words, {threads} threads, median of {rounds} rounds")
        for column in ("ms/word", "times as fast as the original", "processor ms"):
            table.add_column(column, justify="right")
        for name, seconds in result.seconds.items():
            table.add_row(
                name,
                f"{1000 * statistics.median(seconds) / length:.2f}",
                f"{result.ratio(ORIGINAL, name):.2f}",
                f"{1000 * statistics.median(result.processor[name]) / length:.2f}",
            )
        console = Console()
        console.print(table)
        console.print(f"All but the original and 8 bits drew {'the same' if result.same else 'OTHER'} words.")
        parts = {
            name: part for name, part in decoder.state_dict().items() if name.startswith(("rnn", "output"))
        }
        console.print(fetched(parts))
        for name, folder in folders.items():
            console.print(
                f"A process with {name} alone: {memory_of(folder, decoder.config.picture, length)}."
            )
