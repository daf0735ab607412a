"""An encoder-decoder on ONNX Runtime: the parts of a checkpoint that ``python -m inference export`` wrote."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from inference.captioners.encoder_decoder.detectors import WordDetectors
from inference.captioners.encoder_decoder.graphs.folder import DRAFT_FILE, INT8_FILE
from inference.captioners.encoder_decoder.graphs.gpt_prefix import GptPrefixGraphs
from inference.captioners.encoder_decoder.graphs.parts import DRAFT, ENCODER, Parts
from inference.captioners.encoder_decoder.graphs.recurrent import RecurrentGraphs
from inference.captioners.encoder_decoder.settings import OwnSettings
from inference.captioners.encoder_decoder.speaking import Speaker, lines_of
from inference.checkpoints.config import CheckpointConfig
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.checkpoints.mapped import MappedWeights
from inference.common.blas import one_thread
from inference.common.types import DecodingOptions
from inference.decoding.drafting import Drafted
from inference.decoding.search import Generated
from inference.encoders.preprocessing import Preprocessing
from inference.graphs.session import Array, GraphError
from inference.reading.reading import Reading
from inference.tokenizers.base import load_tokenizer

# By the kind in config.json.
DECODERS: Mapping[str, Callable[[Parts, Any], RecurrentGraphs | GptPrefixGraphs]] = {
    "recurrent": RecurrentGraphs,
    "gpt_prefix": GptPrefixGraphs,
}


def open_decoder(
    graphs: Path,
    weights: Mapping[str, Array],
    settings: Mapping[str, Any],
    *,
    threads: int | None = None,
) -> RecurrentGraphs | GptPrefixGraphs | Drafted:
    """The decoder of these settings, with what guesses ahead for it where that was exported. ``threads`` and
    errors: see :class:`GraphCaptioner`."""
    decoder = DECODERS[settings["kind"]](Parts(graphs, weights, threads=threads), settings)
    path = graphs / DRAFT_FILE
    if not path.is_file():
        return decoder
    rounded = _beside_graphs(path)
    # Nothing is ever written into a ChainMap's second.
    both: Mapping[str, Array] = ChainMap(dict(rounded), weights)  # type: ignore[arg-type]  # it wants one it may write to
    quick = decoder.quicker(Parts(graphs, both, threads=threads, prefix=DRAFT))
    rounded.forget()
    return Drafted(decoder, quick)


def _beside_graphs(path: Path) -> MappedWeights:
    """A file of weights that was made with the graphs. Raises GraphError where it is damaged."""
    try:
        return MappedWeights(path)
    except (OSError, ValueError) as error:
        raise GraphError(f"{path} is damaged: get it anew, or export the graphs again.") from error


class GraphCaptioner:
    """``folder``: of the checkpoint; ``graphs``: where its parts lie; ``threads``: see :class:`Graph`.

    Raises GraphError where a graph, or a file of weights that was made with them, is missing, damaged or of
    other weights; OSError, KeyError, TypeError or ValueError where another file is.
    """

    def __init__(
        self, folder: Path, graphs: Path, config: CheckpointConfig, *, threads: int | None = None
    ) -> None:
        own = OwnSettings.from_dict(config.own)
        rounded = graphs / INT8_FILE
        weights = _beside_graphs(rounded) if rounded.is_file() else MappedWeights(folder / WEIGHTS_FILE)
        parts = Parts(graphs, weights, threads=threads)
        self._preprocessing = Preprocessing.from_dict(config.encoder["preprocessing"])
        self._encoder = parts.graph(ENCODER)
        self.decoder = open_decoder(graphs, weights, config.decoder, threads=threads)
        detectors = None if own.detectors is None else WordDetectors.of(weights, own.detectors)
        self.speaker = Speaker(
            load_tokenizer(own.tokenizer, folder), own.special, own.words, own.prompt_tokens, detectors
        )
        weights.forget()  # the runtime has what it needs, in an order of its own

    def encode(self, images: Sequence[Image.Image]) -> tuple[Array, ...]:
        """What the encoder yields for n RGB pictures, one array or one a layer."""
        return self._encoder(pixels=self._preprocessing(images))

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """See :class:`inference.captioners.captioner.Describer`."""
        if not images:
            return [], []
        with one_thread():
            said = self.generate(self.encode(images), options, readings)
        return self.speaker.sentences(said, readings)

    def generate(
        self,
        memory: tuple[Array, ...],
        options: DecodingOptions,
        readings: Sequence[Reading] | None = None,
        **extra: Any,
    ) -> Generated:
        """As of :class:`inference.captioners.encoder_decoder.model.CaptionModel`."""
        return self.speaker.generate(
            self.decoder,
            self.decoder.vocabulary,
            memory,
            options,
            lines_of(readings, len(memory[0])),
            read=readings is not None,
            vectors=memory[0],
            **extra,
        )
