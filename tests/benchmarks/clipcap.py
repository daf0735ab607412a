"""``python -m tests.benchmarks clipcap``: the cached search against two others, on ClipCap at full size.

The weights are random: of the times only that with guesses depends on them, by how many are right, and every
exact search must find the same tokens. Timed in turn, round after round, in one process:

* :func:`inference.decoding.search.generate` over graphs in float32, over those with guesses in 8 bits,
  over graphs with weights of 8 bits, and over the PyTorch module;
* the original's loop, which feeds the prefix and the whole sentence again at every step (greedily as its
  ``generate2`` with a vanishing temperature, with beams as its ``generate_beam``);
* ``generate`` of Hugging Face's own model over the same weights, with its cache.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inference.captioners.building import build
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.common.processors import available
from inference.common.types import DecodingOptions
from inference.decoders.gpt_prefix import GptPrefixDecoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.decoder import Decoder
from inference.decoding.search import generate
from inference.presets.preset import preset
from tests.benchmarks.fetching import fetched
from tests.benchmarks.figures import Row
from tests.benchmarks.searching import DRAFTED, Result, Way, graphs_of, measure, memory_of, opened

OURS, ORIGINAL, HUGGING_FACE = "PyTorch", "original", "Hugging Face"


def full_size() -> tuple[CaptionModel, GptPrefixDecoder]:
    """``clipcap-mlp``, ruCLIP's tower included, and its decoder, whose random weights say something of their
    own at every step: those that GPT-2 starts with repeat one token for ever."""
    torch.manual_seed(0)
    model = build(preset("clipcap-mlp")).eval()
    decoder = _of_gpt(model)
    with torch.no_grad():
        for name, parameter in decoder.gpt.named_parameters():
            if parameter.dim() == 2 and "wte" not in name:
                parameter.mul_(4)
        decoder.gpt.transformer.wte.weight[_never(decoder)] = 0  # its logit, 0, is never the highest
    return model, decoder


def _of_gpt(model: CaptionModel) -> GptPrefixDecoder:
    if not isinstance(model.decoder, GptPrefixDecoder):
        raise TypeError("clipcap-mlp has another decoder now: change the benchmark.")
    return model.decoder


@torch.inference_mode()
def ours(decoder: GptPrefixDecoder, memory: Tensor, beams: int, length: int) -> list[int]:
    """One picture's tokens, ``length`` of them."""
    return search(TorchDecoder(decoder), memory, beams, length, _never(decoder))


def search(decoder: Decoder, memory: object, beams: int, length: int, never: int) -> list[int]:
    """The same by whatever runs the decoder; ``never``: the end token."""
    options = DecodingOptions("beam" if beams > 1 else "greedy", beams=beams, max_tokens=length)
    (tokens,) = generate(decoder, memory, options, bos=0, eos=never, pad=0).tokens
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


def ways(
    decoder: GptPrefixDecoder, graphs: Mapping[str, Decoder], memory: Tensor, beams: int, length: int
) -> dict[str, Way]:
    """Those of :data:`WAYS`, and decoders of graphs by their names."""
    found: dict[str, Way] = {
        name: partial(search, own, (memory.numpy(),), beams, length, _never(decoder))
        for name, own in graphs.items()
    }
    return found | {name: partial(way, decoder, memory, beams, length) for name, way in WAYS.items()}


def timed(
    model: CaptionModel,
    folders: Mapping[str, Path],
    beams: Sequence[int],
    *,
    length: int,
    rounds: int,
    threads: int,
) -> dict[int, Result]:
    """Every way, by the number of beams, over the model of :func:`full_size` and the graphs of it."""
    decoder = _of_gpt(model)
    memory = torch.nn.functional.normalize(torch.randn(1, decoder.config.pictures[0]), dim=-1)
    graphs = {name: opened(folder, threads) for name, folder in folders.items()}
    return {
        k: measure(
            ways(decoder, graphs, memory, k, length),
            rounds,
            length,
            report=lambda line: typer.echo(line, err=True),
        )
        for k in beams
    }


def rows(rounds: int, length: int = 60) -> list[Row]:
    """Milliseconds a token of the graphs, beside the original's and Hugging Face's."""
    threads = available()
    torch.set_num_threads(threads)
    model, _ = full_size()
    with graphs_of(model) as folders:
        results = timed(model, folders, (1, 5), length=length, rounds=rounds, threads=threads)
    return [
        Row(
            f"ClipCap, {_searched(k)}, {way}: a token ({other} before)",
            "ms",
            *(1000 * statistics.median(result.seconds[name]) / length for name in (other, way)),
        )
        for k, result in results.items()
        for way in folders
        for other in (ORIGINAL, HUGGING_FACE)
        if k == 1 or way != DRAFTED  # of beams nothing is guessed
    ]


def main(
    length: Annotated[int, typer.Option(min=2, help="Tokens of a caption.")] = 60,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    beams: Annotated[list[int] | None, typer.Option(min=1, help="1 = greedy.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Not given: all that may be used.")] = None,
) -> None:
    """Time ClipCap's search at full size on this machine's processor."""
    threads = threads or available()
    torch.set_num_threads(threads)
    model, decoder = full_size()
    console = Console()
    console.print(
        f"clipcap-mlp, {model.count()[1] / 1e6:.1f} M parameters, one picture, {length} tokens, {threads} "
        f"threads, torch {torch.__version__}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    table = Table("Search", "Way", title=f"Median of {rounds} rounds, the ways in turn in each")
    for column in ("ms/token", "of the original", "of Hugging Face", "processor ms", "same tokens"):
        table.add_column(column, justify="right")
    with graphs_of(model) as folders:
        results = timed(model, folders, beams or (1, 5), length=length, rounds=rounds, threads=threads)
        for k, result in results.items():
            for name in result.seconds:
                table.add_row(
                    _searched(k),
                    name,
                    f"{1000 * statistics.median(result.seconds[name]) / length:.1f}",
                    f"{result.ratio(ORIGINAL, name):.2f}",
                    f"{result.ratio(HUGGING_FACE, name):.2f}",
                    f"{1000 * statistics.median(result.processor[name]) / length:.1f}",
                    "yes" if result.same else "NO",
                    end_section=name == HUGGING_FACE,
                )
        console.print(table)
        console.print(fetched(decoder.gpt.state_dict()))
        for name, folder in folders.items():
            taken = memory_of(folder, decoder.config.pictures[0], length)
            console.print(f"A process with {name} alone: {taken}.")


def _searched(beams: int) -> str:
    return "greedy" if beams == 1 else f"beam {beams}"
