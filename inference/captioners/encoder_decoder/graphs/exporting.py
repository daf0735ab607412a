"""``python -m inference export``: a checkpoint's graphs, checked against PyTorch before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from inference.captioners.encoder_decoder.graphs.captioner import GraphCaptioner
from inference.captioners.encoder_decoder.graphs.folder import DRAFT_FILE, Record, record, replacing
from inference.captioners.encoder_decoder.graphs.parts import DRAFT
from inference.captioners.encoder_decoder.graphs.rounding import write_rounded
from inference.captioners.encoder_decoder.graphs.writing import write
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import ARCHITECTURE
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import WEIGHTS_FILE, find_checkpoint, weights_hash
from inference.checkpoints.format import CheckpointError, making, read_config
from inference.checkpoints.mapped import MappedWeights
from inference.checkpoints.names import CheckpointFolder
from inference.checkpoints.tensor_files import write_arrays
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.decoder import Decoder, Logits, Tokens

TOLERANCE = 1e-3  # of a logit, by the largest logit


def export(
    model: CheckpointFolder, models_dir: Path, pictures: Sequence[Image.Image], *, draft: bool = False
) -> Record:
    """Writes the graphs of the named checkpoint, unless they say of ``pictures`` what PyTorch does not.
    ``draft``: with a rounded copy of the decoder that guesses ahead, see :mod:`inference.decoding.drafting`.

    Raises UnknownModel, or CheckpointError with one sentence that says what is wrong.
    """
    folder = find_checkpoint(models_dir, model)
    config = read_config(folder)
    if config.architecture != ARCHITECTURE:
        raise CheckpointError(
            f"{model.name} is of the architecture {config.architecture!r}, whose graphs come with the "
            "program: there is nothing to export."
        )
    digest = weights_hash(folder / WEIGHTS_FILE)
    with making(model.name):
        written = CaptionModel.load(folder, config)
    with replacing(folder) as graphs:
        write(written, graphs)
        if draft:
            rounded = write_rounded(graphs, MappedWeights(folder / WEIGHTS_FILE), DRAFT)
            write_arrays(graphs / DRAFT_FILE, rounded)
        with making(model.name):
            difference = check(written, GraphCaptioner(folder, graphs, config), config, pictures)
        checked = Record(digest, config.decoder["kind"], difference)
        record(graphs, checked)
    return checked


def check(
    model: CaptionModel, served: GraphCaptioner, config: CheckpointConfig, pictures: Sequence[Image.Image]
) -> float:
    """The largest difference of a logit from PyTorch's, by the largest logit.

    Raises CheckpointError when it is beyond TOLERANCE, or other tokens are found.
    """
    with torch.inference_mode():
        memory = model.encode(pictures)
        told = model.generate(memory, config.decoding, seeds=range(len(pictures)))
    seen = served.encode(pictures)
    # Each alone, as most are sent; of several at once nothing is guessed ahead.
    said = [
        served.generate(tuple(part[i : i + 1] for part in seen), config.decoding, seeds=[i]).tokens[0]
        for i in range(len(pictures))
    ]
    difference = 0.0
    special = model.special
    length = max(len(tokens) for tokens in told.tokens)
    fed = np.full((len(pictures), length + 1), special.pad, np.int64)
    fed[:, 0] = special.bos
    for row, tokens in zip(fed, told.tokens, strict=True):
        row[1 : len(tokens) + 1] = tokens
    ours, theirs = _logits(served.decoder, seen, fed), _logits(TorchDecoder(model.decoder), memory, fed)
    difference = float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(theirs).max())))
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"The graphs differ from PyTorch by {difference:.1e} of the largest logit, more than "
            f"{TOLERANCE:.0e}: the model is served by PyTorch as before."
        )
    if said != told.tokens:
        raise CheckpointError(
            "The graphs say other tokens than PyTorch of a drawn picture: the model is served by PyTorch as "
            "before."
        )
    return difference


def _logits(decoder: Decoder, memory: object, tokens: Tokens) -> Logits:
    """Behind each of the tokens (n, L): (n, L, V)."""
    state = decoder.start(memory)
    found = []
    for column in tokens.T:
        logits, state = decoder.step(state, np.ascontiguousarray(column))
        found.append(logits)
    return np.stack(found, 1)


def drawn(picture: Image.Image) -> list[Image.Image]:
    """A picture in three ways that an encoder tells apart."""
    return [picture, ImageOps.mirror(picture), ImageOps.invert(picture)]
