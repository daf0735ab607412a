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
from inference.decoders.base import CaptionDecoder, build_decoder
from inference.decoding import Forbid, Generated, generate
from inference.encoders.base import Encoder, Memory, build_encoder
from inference.tokenizers.base import Tokenizer, load_tokenizer
from inference.types import DecodingOptions, TextLine

ARCHITECTURE = "encoder-decoder"


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

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: ``pixels`` (n, 3, size, size), ``tokens`` (n, L), int64, the start token first, to
        logits (n, L, V), where place t says what follows token t."""
        logits: Tensor = self.decoder(self.encoder(pixels), tokens)
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
