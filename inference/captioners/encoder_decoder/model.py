"""The module: pictures and the words read on them to captions, and to a loss; its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from inference.captioners.encoder_decoder.batch import Batch, padded
from inference.captioners.encoder_decoder.detectors import PREFIX, UNSAID, WordDetectors
from inference.captioners.encoder_decoder.known_words import KnownWords
from inference.captioners.encoder_decoder.settings import (
    ARCHITECTURE,
    DetectorSettings,
    OwnSettings,
    SpecialTokens,
)
from inference.captioners.encoder_decoder.speaking import Lines, Speaker, lines_of
from inference.checkpoints.config import CheckpointConfig, TrainingRecord
from inference.checkpoints.format import CheckpointError, read_config
from inference.checkpoints.modules import load_weights, save_checkpoint
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED, CaptionDecoder, build_decoder
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.processors import LogitsProcessor, added_to
from inference.decoding.search import Generated
from inference.encoders.base import Encoder, Memory, build_encoder
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer, load_tokenizer, slots_of
from inference.tokenizers.words_read import PROMPT_TOKENS, WordsRead, slotted


class CaptionModel(nn.Module):
    """``tokenizer`` may be None while only tensors matter.

    ``words``: how the words read on a picture reach the decoder, see :mod:`inference.tokenizers.words_read`;
    of a "prompt" at most ``prompt_tokens`` tokens are theirs. Raises ValueError when the vocabularies differ,
    or the tokenizer is none for such words. ``detectors`` lead what it says where they are set.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: CaptionDecoder,
        special: SpecialTokens,
        tokenizer: Tokenizer | None = None,
        *,
        words: WordsRead = "none",
        prompt_tokens: int = PROMPT_TOKENS,
    ) -> None:
        super().__init__()
        if tokenizer is not None and len(tokenizer) > decoder.vocabulary:
            raise ValueError(
                f"The tokenizer has {len(tokenizer)} tokens, the decoder {decoder.vocabulary}: "
                "build the decoder for this tokenizer, or take the tokenizer it was trained with."
            )
        if words not in get_args(WordsRead):
            raise ValueError(f"words must be one of {', '.join(get_args(WordsRead))}, not {words!r}.")
        if tokenizer is not None and words == "slots" and not slots_of(tokenizer):
            raise ValueError(
                "The tokenizer has no words <line0>, <line1> ... for the lines read: make it with slots, "
                "or build the model without words."
            )
        self.encoder = encoder
        self.decoder = decoder
        self.special = special
        self.tokenizer = tokenizer
        self.words: WordsRead = words
        self.prompt_tokens = prompt_tokens
        self.detectors: _Detectors | None = None

    def detect_with(self, detectors: WordDetectors) -> None:
        """Lets word detectors lead what is said from now on, in the place of others that did.

        Raises ValueError where they are not over the encoder's vector, or of another vocabulary.
        """
        shapes = (*detectors.weight.shape[1:], detectors.words.vocabulary)
        if self.encoder.yields != "global" or shapes != (self.encoder.widths[0], self.decoder.vocabulary):
            raise ValueError(
                "Word detectors are over one vector a picture and of the decoder's vocabulary: "
                f"these are of the sizes {shapes}."
            )
        self.detectors = _Detectors(detectors)

    def encode(self, images: Sequence[Image.Image]) -> Memory:
        """What the encoder yields for n RGB pictures."""
        weights = next(self.encoder.parameters())
        memory: Memory = self.encoder(self.encoder.pixels(images).to(weights.device, weights.dtype))
        return memory

    def batch(self, texts: Sequence[str], readings: Sequence[Reading] | None = None) -> Batch:
        """What :meth:`loss` learns from: n captions, and what was read on their pictures, which only a model
        with ``words`` looks at (None: on none anything).

        A sentence with the words before it that is longer than the decoder has places is cut, and its end is
        not learned.
        """
        speaker, special = self.speaker, self.special
        tokenizer = speaker.cutter()
        if self.words == "slots":
            texts = slotted(texts, readings, len(slots_of(tokenizer)))
        lines = lines_of(readings, len(texts))
        left = self._left(lines)
        space = " " if self.words == "prompt" and left is None else ""
        return self._batch([[*tokenizer.encode(space + text), special.eos] for text in texts], lines, left)

    def batch_of(self, generated: Generated, readings: Sequence[Reading] | None = None) -> Batch:
        """:meth:`batch` of what :meth:`generate` gave for n pictures with these readings, token by token.

        No end is learned of a sentence that was cut short; any other end is taken for ``eos``.
        """
        ends = [[self.special.eos] if done else [] for done in generated.finished]
        said = [[*own, *end] for own, end in zip(generated.tokens, ends, strict=True)]
        lines = lines_of(readings, len(said))
        return self._batch(said, lines, self._left(lines))

    def _batch(self, sentences: Sequence[Sequence[int]], lines: Lines, left: Tensor | None) -> Batch:
        """Sentences with their ends, behind the words read."""
        special = self.special
        prompts = [[] for _ in lines] if left is not None else self.speaker.prompts(lines)
        rows = [
            [special.bos, *prompt, *sentence] for prompt, sentence in zip(prompts, sentences, strict=True)
        ]
        places = self.decoder.places(self.encoder.positions)
        if places is not None:
            rows = [row[: places + 1] for row in rows]
        tokens = [torch.tensor(row[:-1]) for row in rows]
        targets = [
            torch.tensor([*[IGNORED] * len(prompt), *row[1 + len(prompt) :]][: len(row) - 1])
            for row, prompt in zip(rows, prompts, strict=True)
        ]
        return Batch(padded(tokens, special.pad), padded(targets, IGNORED), left)

    def led(self, batch: Batch, processors: Sequence[LogitsProcessor]) -> Batch:
        """A batch whose sentences are learnt as they are said behind processors, see :func:`added_to`.

        A token that detectors keep from being said is not learned.
        """
        counted = batch.targets != IGNORED
        sentences = [row[own].tolist() for row, own in zip(batch.targets, counted, strict=True)]
        special, vocabulary = self.special, self.decoder.vocabulary
        found = torch.from_numpy(
            added_to(processors, sentences, vocabulary, pad=special.pad, end=special.eos)
        )
        added = found.new_zeros(*counted.shape, vocabulary)
        added[counted] = found[torch.arange(found.shape[1]) < counted.sum(1, keepdim=True)]
        own = added.gather(2, batch.targets.clamp(min=0)[:, :, None])[:, :, 0]
        return replace(batch, added=added, targets=batch.targets.masked_fill(own < UNSAID, IGNORED))

    def led_by_detectors(self, memory: Memory, batch: Batch) -> Batch:
        """:meth:`led` by the model's own detectors, where it has any and the batch is not led yet;
        ``memory``: what the encoder yields.
        """
        if self.detectors is None or batch.added is not None:
            return batch
        first = memory[0] if isinstance(memory, tuple) else memory
        return self.led(batch, self.speaker.leading(array_of(first)))

    @property
    def speaker(self) -> Speaker:
        """What it says with its present tokenizer and tokens."""
        detectors = None if self.detectors is None else self.detectors.arrays()
        return Speaker(self.tokenizer, self.special, self.words, self.prompt_tokens, detectors)

    def _left(self, lines: Lines) -> Tensor | None:
        """The words read on each picture, where the decoder has a place for them before the picture."""
        if self.words != "prompt":
            return None
        return self.decoder.left_text(self.speaker.texts_read(lines))

    def loss(self, memory: Memory, batch: Batch) -> Tensor:
        """What training makes small, a scalar: the decoder's own loss of a batch.

        ``memory``: pixels (n, 3, size, size), or what the encoder yields for them, which may be kept while
        the encoder is frozen. A model with detectors learns with what they add, or with what the batch has
        of it.
        """
        memory = self._memory(memory)
        first = memory[0] if isinstance(memory, tuple) else memory
        batch = self.led_by_detectors(memory, batch).to(first.device)
        if batch.added is not None:
            losses = self.decoder.token_losses(memory, batch.tokens, batch.targets, batch.added)
            return losses.sum() / (batch.targets != IGNORED).sum()
        return self.decoder.loss(_with_left(memory, batch.left), batch.tokens, batch.targets)

    def _memory(self, seen: Memory) -> Memory:
        """Pixels are the only tensor of four dimensions."""
        if isinstance(seen, Tensor) and seen.dim() == 4:
            memory: Memory = self.encoder(seen)
            return memory
        return seen

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Teacher forcing: ``memory`` as :meth:`loss` takes it, ``tokens`` (n, L), int64, the start token
        first, to logits (n, L, V), where place t says what follows token t."""
        logits: Tensor = self.decoder(self._memory(memory), tokens)
        return logits

    def generate(
        self,
        memory: Memory,
        options: DecodingOptions,
        readings: Sequence[Reading] | None = None,
        **extra: Any,
    ) -> Generated:
        """Tokens for each picture of ``memory``, which the encoder yielded, and what was read on it;
        ``extra`` goes to :func:`inference.decoding.search.generate`."""
        first = memory[0] if isinstance(memory, tuple) else memory
        lines = lines_of(readings, len(first))
        left = self._left(lines)
        return self.speaker.generate(
            TorchDecoder(self.decoder),
            self.decoder.vocabulary,
            memory if left is None else _with_left(memory, left.to(first.device)),
            options,
            lines,
            prompted=left is None,
            read=readings is not None,
            vectors=None if self.detectors is None else array_of(first),
            **extra,
        )

    def describe(
        self,
        images: Sequence[Image.Image],
        readings: Sequence[Reading],
        options: DecodingOptions,
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the mean log-probability of its tokens."""
        if not images:
            return [], []
        with torch.inference_mode():
            return self.describe_memory(self.encode(images), readings, options)

    def describe_memory(
        self, memory: Memory, readings: Sequence[Reading] | None, options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """:meth:`describe` from what the encoder yielded for the pictures."""
        return self.speaker.sentences(self.generate(memory, options, readings), readings)

    def count(self) -> tuple[int, int]:
        """(trainable, all) parameters."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        return sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)

    def save(
        self,
        folder: Path,
        decoding: DecodingOptions,
        training: TrainingRecord | None = None,
        *,
        preset: str = "",
        half: bool = False,
        int8: tuple[str, ...] = (),
    ) -> None:
        """A whole checkpoint; ``half`` and ``int8`` as of :func:`save_checkpoint`.

        Raises CheckpointError when it cannot be written.
        """
        if self.tokenizer is None:
            raise ValueError("A checkpoint needs its tokenizer: give the model one before it is saved.")
        detectors = None if self.detectors is None else self.detectors.settings
        own = OwnSettings(
            self.tokenizer.kind, self.special, self.words, self.prompt_tokens, detectors
        ).to_dict()
        encoder, decoder = self.encoder.settings, self.decoder.settings
        config = CheckpointConfig(ARCHITECTURE, encoder, decoder, decoding, own, preset)
        save_checkpoint(folder, self, config, training, half=half, int8=int8)
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path, config: CheckpointConfig | None = None) -> CaptionModel:
        """The model of a checkpoint folder, in eval mode.

        Raises CheckpointError when the folder is not whole, damaged or of another architecture.
        """
        config = config or read_config(folder)
        if config.architecture != ARCHITECTURE:
            raise CheckpointError(
                f"{folder.name} is of the architecture {config.architecture!r}, not {ARCHITECTURE!r}: "
                "load it as what it is."
            )
        try:
            own = OwnSettings.from_dict(config.own)
            model = cls(
                build_encoder(config.encoder),
                build_decoder(config.decoder),
                own.special,
                load_tokenizer(own.tokenizer, folder),
                words=own.words,
                prompt_tokens=own.prompt_tokens,
            )
            if own.detectors is not None:
                model.detect_with(_unfilled(own.detectors, model))
        except KeyError as error:
            raise CheckpointError(
                f"The checkpoint {folder.name} cannot be built: its config.json says nothing of {error}, so "
                "get it anew."
            ) from error
        except (TypeError, ValueError, FileNotFoundError) as error:
            raise CheckpointError(f"The checkpoint {folder.name} cannot be built: {error}") from error
        load_weights(model, folder)
        return model.eval()


class _Detectors(nn.Module):
    """The detectors' numbers, so that they are kept with the model's."""

    def __init__(self, detectors: WordDetectors) -> None:
        super().__init__()
        self.settings = detectors.settings
        for name, value in detectors.tensors().items():
            self.register_buffer(name, torch.tensor(value))

    def arrays(self) -> WordDetectors:
        """Their present numbers."""
        return WordDetectors.of(
            {PREFIX + name: tensor.cpu().numpy() for name, tensor in self.named_buffers()}, self.settings
        )


def _unfilled(settings: DetectorSettings, model: CaptionModel) -> WordDetectors:
    """Detectors of the sizes that the model's have, before they are read."""
    width, vocabulary = model.encoder.widths[0], model.decoder.vocabulary
    zeros = np.zeros(settings.count, np.float32)
    weight = np.zeros((settings.count, width), np.float32)
    words = KnownWords.unfilled(vocabulary, settings.nodes or vocabulary)
    return WordDetectors(weight, zeros, zeros, words, settings)


def array_of(vectors: Tensor) -> NDArray[np.float32]:
    """What an encoder yields, as word detectors look at it."""
    array: NDArray[np.float32] = vectors.detach().float().cpu().numpy()
    return array


def _with_left(memory: Memory, left: Tensor | None) -> Memory:
    """Codes with the text that stands before them."""
    if left is None or isinstance(memory, tuple):
        return memory
    return memory, left
