"""An encoder and a decoder as one captioner: what the presets build, training trains and checkpoints keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from inference.checkpoint import CheckpointError, load_weights, read_config, save_checkpoint
from inference.decoders.base import IGNORED, CaptionDecoder, build_decoder
from inference.decoding import Forbid, Generated, generate
from inference.encoders.base import Encoder, Memory, build_encoder
from inference.tokenizers.base import Tokenizer, load_tokenizer
from inference.types import DecodingOptions, TextLine

ARCHITECTURE = "encoder-decoder"


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences to learn from, padded to one length L."""

    tokens: Tensor  # (n, L), int64: what is fed, the start token first
    targets: (
        Tensor  # (n, L), int64: what follows each, the end token included; IGNORED where nothing is learned
    )

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(self.tokens.to(device), self.targets.to(device))


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Numbers of the tokens around a sentence, and of those that are never said."""

    bos: int
    eos: int
    pad: int
    forbidden: tuple[int, ...] = ()


class CaptionModel(nn.Module):
    """``tokenizer`` may be None while only tensors matter. Raises ValueError when the vocabularies differ."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: CaptionDecoder,
        special: SpecialTokens,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        if tokenizer is not None and len(tokenizer) > decoder.vocabulary:
            raise ValueError(
                f"The tokenizer has {len(tokenizer)} tokens, the decoder {decoder.vocabulary}: "
                "build the decoder for this tokenizer, or take the tokenizer it was trained with."
            )
        self.encoder = encoder
        self.decoder = decoder
        self.special = special
        self.tokenizer = tokenizer

    def encode(self, images: Sequence[Image.Image]) -> Memory:
        """What the encoder yields for n RGB pictures."""
        weights = next(self.encoder.parameters())
        memory: Memory = self.encoder(self.encoder.preprocessing(images).to(weights.device, weights.dtype))
        return memory

    def batch(self, texts: Sequence[str], lines: Sequence[Sequence[TextLine]] | None = None) -> Batch:  # noqa: ARG002
        """What :meth:`loss` learns from: n captions, and the lines read on their pictures where the model is
        given them.

        A caption longer than the decoder has places for is cut, and its end is not learned.
        """
        if self.tokenizer is None:
            raise ValueError("This model has no tokenizer: load it from a whole checkpoint.")
        special = self.special
        rows = [[special.bos, *self.tokenizer.encode(text), special.eos] for text in texts]
        places = self.decoder.places(self.encoder.positions)
        if places is not None:
            rows = [row[: places + 1] for row in rows]
        length = max(map(len, rows), default=1) - 1
        tokens = torch.full((len(rows), length), special.pad)
        targets = torch.full((len(rows), length), IGNORED)
        for i, row in enumerate(rows):
            tokens[i, : len(row) - 1] = torch.tensor(row[:-1])
            targets[i, : len(row) - 1] = torch.tensor(row[1:])
        return Batch(tokens, targets)

    def loss(self, memory: Memory, batch: Batch) -> Tensor:
        """What training makes small, a scalar: the decoder's own loss of a batch.

        ``memory``: pixels (n, 3, size, size), or what the encoder yields for them, which may be kept while
        the encoder is frozen.
        """
        memory = self._memory(memory)
        batch = batch.to((memory[0] if isinstance(memory, tuple) else memory).device)
        return self.decoder.loss(memory, batch.tokens, batch.targets)

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

    def generate(self, memory: Memory, options: DecodingOptions, **extra: Any) -> Generated:
        """Tokens for each picture of ``memory``; ``extra`` goes to :func:`inference.decoding.generate`."""
        special = self.special
        processors = (
            *extra.pop("processors", ()),
            *([Forbid(special.forbidden)] if special.forbidden else []),
        )
        return generate(
            self.decoder,
            memory,
            options,
            bos=special.bos,
            eos=special.eos,
            pad=special.pad,
            processors=processors,
            **extra,
        )

    def describe(
        self,
        images: Sequence[Image.Image],
        lines: Sequence[Sequence[TextLine]],  # noqa: ARG002 - for captioners that copy what was read
        options: DecodingOptions,
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the mean log-probability of its tokens."""
        if self.tokenizer is None:
            raise ValueError("This model has no tokenizer: load it from a whole checkpoint.")
        if not images:
            return [], []
        with torch.inference_mode():
            generated = self.generate(self.encode(images), options)
        texts = [self.tokenizer.decode(tokens) for tokens in generated.tokens]
        lengths = [
            max(len(tokens) + done, 1)
            for tokens, done in zip(generated.tokens, generated.finished, strict=True)
        ]
        return texts, [total / n for total, n in zip(generated.logprobs, lengths, strict=True)]

    def count(self) -> tuple[int, int]:
        """(trainable, all) parameters."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        return sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)

    def save(self, folder: Path, decoding: DecodingOptions, *, half: bool = False, **about: Any) -> None:
        """A whole checkpoint; ``about`` is written beside the sizes (preset, training data, scores)."""
        if self.tokenizer is None:
            raise ValueError("A checkpoint needs its tokenizer: give the model one before it is saved.")
        config = {
            "architecture": ARCHITECTURE,
            "encoder": self.encoder.settings,
            "decoder": self.decoder.settings,
            "tokenizer": self.tokenizer.kind,
            "special": asdict(self.special),
            "decoding": decoding.to_dict(),
            **about,
        }
        save_checkpoint(folder, self, config, half=half)
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any] | None = None) -> CaptionModel:
        """The model of a checkpoint folder, in eval mode.

        Raises CheckpointError when the folder is not whole, damaged or of another architecture.
        """
        config = config or read_config(folder)
        if config.get("architecture") != ARCHITECTURE:
            raise CheckpointError(
                f"{folder.name} is of the architecture {config.get('architecture')!r}, not {ARCHITECTURE!r}: "
                "load it as what it is."
            )
        try:
            special = {**config["special"], "forbidden": tuple(config["special"]["forbidden"])}
            encoder, decoder = build_encoder(config["encoder"]), build_decoder(config["decoder"])
            tokenizer = load_tokenizer(config["tokenizer"], folder)
            model = cls(encoder, decoder, SpecialTokens(**special), tokenizer)
        except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
            raise CheckpointError(f"The checkpoint {folder.name} cannot be built: {error}") from error
        load_weights(model, folder)
        return model.eval()
