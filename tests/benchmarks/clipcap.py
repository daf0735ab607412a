"""``python -m tests.benchmarks clipcap``: the cached search against two others, on ClipCap at full size.

The weights are random: time does not depend on them, and every search must find the same tokens. Three ways
are timed in turn, round after round, in one process:

* ours: :func:`inference.decoding.search.generate` over ``inference.decoders.gpt_prefix.GptPrefixDecoder``;
* the original's loop, which feeds the prefix and the whole sentence again at every step (greedily as its
  ``generate2`` with a vanishing temperature, with beams as its ``generate_beam``);
* ``generate`` of Hugging Face's own model over the same weights, with its cache.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import psutil
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.types import DecodingOptions
from inference.decoders.gpt_prefix import GptPrefixDecoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.search import generate
from inference.presets.preset import preset
from tests.benchmarks.measure import MEGABYTE, Memory

OURS, ORIGINAL, HUGGING_FACE = "ours", "original", "Hugging Face"


def full_size() -> tuple[CaptionModel, GptPrefixDecoder]:
    """``clipcap-mlp``, ruCLIP's tower included, and its decoder, whose random weights say something of their
    own at every step: those that GPT-2 starts with repeat one token for ever."""
    torch.manual_seed(0)
    model = build(preset("clipcap-mlp")).eval()
    decoder = model.decoder
    if not isinstance(decoder, GptPrefixDecoder):
        raise TypeError("clipcap-mlp has another decoder now: change the benchmark.")
    with torch.no_grad():
        for name, parameter in decoder.gpt.named_parameters():
            if parameter.dim() == 2 and "wte" not in name:
                parameter.mul_(4)
        decoder.gpt.transformer.wte.weight[_never(decoder)] = 0  # its logit, 0, is never the highest
    return model, decoder


@torch.inference_mode()
def ours(decoder: GptPrefixDecoder, memory: Tensor, beams: int, length: int) -> list[int]:
    """One picture's tokens, ``length`` of them."""
    options = DecodingOptions("beam" if beams > 1 else "greedy", beams=beams, max_tokens=length)
    (tokens,) = generate(TorchDecoder(decoder), memory, options, bos=0, eos=_never(decoder), pad=0).tokens
    return tokens


@torch.inference_mode()
def original(decoder: GptPrefixDecoder, memory: Tensor, beams: int, length: int) -> list[int]:
    """The same, without a cache: everything is fed again for every token."""
    gpt, x = decoder.gpt, decoder.prefix(memory)
    if beams == 1:
        said: list[int] = []
        for _ in range(length):
            logits = gpt(inputs_embeds=x).logits[:, -1]
            ordered, _ = logits.sort(descending=True)  # its nucleus: computed also where one token is left
            ordered.softmax(-1).cumsum(-1)
            token = logits.argmax(-1)
            said.append(int(token))
            x = torch.cat([x, gpt.transformer.wte(token)[:, None]], 1)
        return said
    tokens = scores = None
    for _ in range(length):
        logprobs = gpt(inputs_embeds=x).logits[:, -1].softmax(-1).log()
        if tokens is None or scores is None:
            scores, chosen = logprobs.topk(beams, -1)
            scores, tokens = scores[0], chosen[0][:, None]
            x = x.expand(beams, -1, -1)
        else:
            totals = (scores[:, None] + logprobs).view(-1)
            scores, where = totals.topk(beams)
            parent, token = where // logprobs.shape[1], where % logprobs.shape[1]
            x = x[parent]
            tokens = torch.cat([tokens[parent], token[:, None]], 1)
        x = torch.cat([x, gpt.transformer.wte(tokens[:, -1])[:, None]], 1)
    assert tokens is not None
    best: list[int] = tokens[0].tolist()
    return best


@torch.inference_mode()
def hugging_face(decoder: GptPrefixDecoder, memory: Tensor, beams: int, length: int) -> list[int]:
    """The same by the library's own search."""
    prefix = decoder.prefix(memory)
    found: Tensor = decoder.gpt.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
        num_beams=beams,
        do_sample=False,
        max_new_tokens=length,
        eos_token_id=_never(decoder),
        pad_token_id=0,
        use_cache=True,
    )
    row: list[int] = found[0].tolist()
    return row


def _never(decoder: GptPrefixDecoder) -> int:
    """The end token, which is never said."""
    return decoder.vocabulary - 1


WAYS: dict[str, Callable[[GptPrefixDecoder, Tensor, int, int], list[int]]] = {
    OURS: ours,
    ORIGINAL: original,
    HUGGING_FACE: hugging_face,
}


@dataclass(slots=True)
class Result:
    """One search, by every way."""

    beams: int
    seconds: dict[str, list[float]] = field(default_factory=dict)  # by way, one a round
    processor: dict[str, list[float]] = field(default_factory=dict)  # seconds of all cores, likewise
    same: bool = True  # every way found the same tokens in every round

    def ratio(self, way: str, *, processor: bool = False) -> float:
        """How many times as long as ours it took, by the clock or of the processor: the median over rounds,
        whose ways ran side by side. Where others use the machine too, the processor's is the steadier."""
        spent = self.processor if processor else self.seconds
        pairs = zip(spent[way], spent[OURS], strict=True)
        return statistics.median(other / own for other, own in pairs)


def measure(
    decoder: GptPrefixDecoder,
    beams: Sequence[int],
    length: int,
    rounds: int,
    report: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Every way in turn, round after round; a short call of each before the clock starts. ``report`` hears of
    every call's seconds."""
    memory = torch.nn.functional.normalize(torch.randn(1, decoder.config.pictures[0]), dim=-1)
    results = []
    for k in beams:
        result = Result(k)
        for way in WAYS.values():
            way(decoder, memory, k, 3)
        for number in range(rounds):
            said = []
            names = list(WAYS)
            # Another one begins every round: none always has the machine at its coolest.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                started, spent = time.perf_counter(), time.process_time()
                said.append(WAYS[name](decoder, memory, k, length))
                result.seconds.setdefault(name, []).append(time.perf_counter() - started)
                result.processor.setdefault(name, []).append(time.process_time() - spent)
                report(
                    f"round {number + 1}, beams {k}, {name}: {result.seconds[name][-1]:.1f} s, "
                    f"of a processor {result.processor[name][-1]:.1f} s"
                )
            result.same &= said[0] == said[1] == said[2] and len(said[0]) == length
        results.append(result)
    return results


def main(
    length: Annotated[int, typer.Option(min=2, help="Tokens of a caption.")] = 60,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    beams: Annotated[list[int] | None, typer.Option(min=1, help="1 = greedy.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; not given: its own choice.")] = None,
) -> None:
    """Time ClipCap's search at full size, float32, on this machine's processor."""
    if threads is not None:
        torch.set_num_threads(threads)
    model, decoder = full_size()
    _, parameters = model.count()
    # Only our own way counts for the memory: it runs alone first.
    memory = torch.zeros(1, decoder.config.pictures[0])
    chosen = beams or [1, 5]
    ours(decoder, memory, max(chosen), length)
    gc.collect()
    resident = Memory.of(psutil.Process())
    results = measure(decoder, chosen, length, rounds, lambda line: typer.echo(line, err=True))
    console = Console()
    cores = len(os.sched_getaffinity(0))
    console.print(
        f"clipcap-mlp, {parameters / 1e6:.1f} M parameters in float32, one picture, {length} tokens, "
        f"{torch.get_num_threads()} threads on {cores} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    table = Table("Search", "Way", title=f"Median of {rounds} rounds, the ways in turn in each")
    for column in ("seconds", "ms/token", "times ours", "processor s", "times ours", "same tokens"):
        table.add_column(column, justify="right")
    for result in results:
        search = "greedy" if result.beams == 1 else f"beam {result.beams}"
        for name in WAYS:
            seconds = statistics.median(result.seconds[name])
            table.add_row(
                search,
                name,
                f"{seconds:.2f}",
                f"{1000 * seconds / length:.0f}",
                f"{result.ratio(name):.2f}",
                f"{statistics.median(result.processor[name]):.2f}",
                f"{result.ratio(name, processor=True):.2f}",
                "yes" if result.same else "NO",
                end_section=name == HUGGING_FACE,
            )
    console.print(table)
    console.print(
        f"Resident memory of a process that searches our way: {resident.rss / MEGABYTE:.0f} MB now, "
        f"{resident.peak / MEGABYTE:.0f} MB at its highest."
    )
