"""GPT-2 with the picture as its first positions (a prefix), and a cache of keys and values.

The language model is Hugging Face's GPT2LMHeadModel, so its files load as they are. Its arithmetic is run
here, over its modules: one path for training and for cached steps.

Shapes: n pictures, k prefix positions, L tokens, V words, w the width of the model, h its heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from inference.decoders.base import CaptionDecoder, register
from inference.decoders.caches import KeyValues
from inference.decoders.mappers import GridMapper, LayersMapper, LinearMapper, MlpMapper, TransformerMapper
from inference.decoders.products import conv1d, linear
from inference.decoders.unrolling import dropout
from inference.encoders.base import Memory


@dataclass(frozen=True, slots=True)
class GptPrefixConfig:
    """Raises ValueError when the settings contradict each other."""

    vocabulary: int  # V
    pictures: tuple[int, ...]  # widths of what the encoder yields: (d,), or one for each layer
    mapper: Literal["mlp", "linear", "transformer", "grid", "layers"] = "mlp"
    prefix: int = 10  # k; the grid and layers mappers have as many as they are given
    clip_length: int = 10  # positions that the picture takes inside the transformer mapper
    mapper_layers: int = 8
    mapper_heads: int = 8
    mapper_ratio: float = 2.0
    width: int = 768  # w
    layers: int = 12
    heads: int = 12  # h
    positions: int = 2048  # the longest prefix and sentence together
    dropout: float = 0.1
    # None: the last prefix position stands where a start token would, as in ClipCap. A token: it is fed
    # before the prefix, and the start token after it is a real one.
    image_token: int | None = None
    # The embedding of image_token is added to every place of the picture, that of the start token to every
    # place of the text ("token types").
    token_types: bool = False
    picture_dropout: float = 0.0  # of the numbers of a picture that is one tensor
    train_gpt: bool = False

    def __post_init__(self) -> None:
        if len(self.pictures) != 1 and self.mapper != "layers":
            raise ValueError("Several layers' vectors need the 'layers' mapper.")
        if self.token_types and self.image_token is None:
            raise ValueError("Token types need an image_token.")


@dataclass(frozen=True, slots=True)
class PrefixState:
    """Dimension 0 is the batch in all of it."""

    cache: KeyValues
    pending: Tensor | None  # (n, w): fed at the next step in place of the token
    text_type: Tensor | None  # (n, w): added to every place of the text
    # Where rows were fed unequally many tokens: what each has (n, t), bool, the rest is padding; and how many
    # places it has (n,). Both None where all have all.
    own: Tensor | None = None
    places: Tensor | None = None


@register("gpt_prefix", GptPrefixConfig)
class GptPrefixDecoder(CaptionDecoder):
    """``memory`` is what the mapper needs: see :mod:`inference.decoders.mappers`."""

    def __init__(self, config: GptPrefixConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.gpt = gpt2(
            config.vocabulary, config.positions, config.width, config.layers, config.heads, config.dropout
        )
        untyped: Any = self
        untyped.register_state_dict_post_hook(_drop_head)
        untyped.register_load_state_dict_pre_hook(_add_head)
        self.mapper = _mapper(config)
        if not config.train_gpt:
            self.gpt.requires_grad_(False)
            self.gpt.eval()

    def train(self, mode: bool = True) -> GptPrefixDecoder:
        """Training mode for all but a frozen language model, whose dropout would only blur its answers."""
        super().train(mode)
        if not self.config.train_gpt:
            self.gpt.eval()
        return self

    def places(self, seen: int) -> int:
        """See :class:`CaptionDecoder`."""
        config = self.config
        prefix = config.prefix if config.mapper in {"mlp", "transformer"} else seen
        # ClipCap's start token is the last place of the prefix; an image token stands before it.
        return config.positions - prefix + (1 if config.image_token is None else -1)

    def prefix(self, memory: Memory) -> Tensor:
        """(n, k, w): the mapped picture, behind the image token where there is one, with its type."""
        if isinstance(memory, Tensor):
            memory = dropout(memory, self.config.picture_dropout, training=self.training)
        mapped: Tensor = self.mapper(memory)
        if self.config.image_token is None:
            return mapped
        image = self.gpt.transformer.wte.weight[self.config.image_token]
        mapped = torch.cat([image.expand(len(mapped), 1, -1), mapped], 1)
        return mapped + image if self.config.token_types else mapped

    def start(self, memory: Memory) -> PrefixState:
        """Runs the prefix through the model; its last position waits for the first step in ClipCap's way."""
        prefix = self.prefix(memory)
        waits = self.config.image_token is None
        cache = KeyValues.empty(prefix, self.config.layers, self.config.heads)
        now = prefix[:, : prefix.shape[1] - waits]
        if now.shape[1]:
            _, cache = self._cached(now, cache)
        return PrefixState(cache, prefix[:, -1] if waits else None, None)

    def feed(self, state: PrefixState, tokens: Tensor, lengths: Tensor) -> PrefixState:
        """See :class:`CaptionDecoder`: all at once, shorter rows padded."""
        x = self.gpt.transformer.wte(tokens)
        text_type = state.text_type
        if self.config.token_types:
            text_type = x[:, 0] if text_type is None else text_type
            x = x + text_type[:, None]
        if state.pending is not None:
            x = torch.cat([state.pending[:, None], x[:, 1:]], 1)
        past = state.cache.length
        _, cache = self._cached(x, state.cache)
        own = places = None
        if bool((lengths < tokens.shape[1]).any()):
            columns = torch.arange(past + tokens.shape[1], device=tokens.device)
            places = past + lengths
            own = columns < places[:, None]
        return PrefixState(cache, None, text_type, own, places)

    def step(self, state: PrefixState, tokens: Tensor) -> tuple[Tensor, PrefixState]:
        """See :class:`CaptionDecoder`."""
        text_type, own, places = state.text_type, state.own, state.places
        if state.pending is not None:
            x = state.pending
        else:
            x = self.gpt.transformer.wte(tokens)
            if self.config.token_types:
                text_type = x if text_type is None else text_type
                x = x + text_type
        if own is not None and places is not None:
            own = torch.cat([own, own.new_ones(len(own), 1)], 1)
        hidden, cache = self._cached(x[:, None], state.cache, own, places)
        places = None if places is None else places + 1
        logits = linear(hidden[:, 0], self.gpt.lm_head.weight)
        return logits, PrefixState(cache, None, text_type, own, places)

    def _cached(
        self, x: Tensor, cache: KeyValues, own: Tensor | None = None, places: Tensor | None = None
    ) -> tuple[Tensor, KeyValues]:
        cache = cache.grown(x.shape[1])
        return self._run(x, cache, own, places), cache

    def _run(
        self,
        x: Tensor,
        cache: KeyValues | None = None,
        own: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """(n, t, w) to (n, t, w): all places there are, or the last t of ``cache``, which are put there.

        ``own`` and ``places`` of :class:`PrefixState`, the former with the new place: of a single new one.
        """
        model = self.gpt.transformer
        n, t, width = x.shape
        end = t if cache is None else cache.length
        past = end - t
        if end > self.config.positions:
            raise ValueError(
                f"The sentence and its prefix have {end} places, the language model has "
                f"{self.config.positions}: lower max_tokens."
            )
        x = model.drop(x + (model.wpe.weight[past:end] if places is None else model.wpe(places)[:, None]))
        # One new place sees all before it: only several at once need the triangle.
        mask = None if own is None else own[:, None, None]
        if t > 1:
            mask = torch.ones(t, end, dtype=torch.bool, device=x.device).tril(past)
        dropped = self.config.dropout if self.gpt.training else 0.0
        for i, block in enumerate(model.h):
            y = _conv1d(block.attn.c_attn, block.ln_1(x)).view(n, t, 3, self.config.heads, -1).transpose(1, 3)
            q, k, v = y.unbind(2)  # (n, h, t, w / h)
            if cache is not None:
                k, v = cache.put(i, y[:, :, 1:].transpose(1, 2))
            mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropped)
            y = _conv1d(block.attn.c_proj, mixed.transpose(1, 2).reshape(n, t, width))
            x = x + block.attn.resid_dropout(y)
            y = functional.gelu(_conv1d(block.mlp.c_fc, block.ln_2(x)), approximate="tanh")
            x = x + block.mlp.dropout(_conv1d(block.mlp.c_proj, y))
        normed: Tensor = model.ln_f(x)
        return normed

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """See :class:`CaptionDecoder`. Padding behind a sentence changes nothing before it."""
        prefix = self.prefix(memory)
        words = self.gpt.transformer.wte(tokens)
        if self.config.token_types:
            words = words + words[:, :1]
        if self.config.image_token is None:
            words = words[:, 1:]
        x = torch.cat([prefix, words], 1)
        logits: Tensor = self.gpt.lm_head(self._run(x)[:, -tokens.shape[1] :])
        return logits


_HEAD, _WORDS = "gpt.lm_head.weight", "gpt.transformer.wte.weight"


def _drop_head(_module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: object) -> None:
    """The output layer is the embedding itself: a file holds it once."""
    state.pop(prefix + _HEAD, None)


def _add_head(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    if prefix + _WORDS in state:
        state.setdefault(prefix + _HEAD, state[prefix + _WORDS])


def _conv1d(layer: Any, x: Tensor) -> Tensor:
    return conv1d(x, layer.weight, layer.bias)


def gpt2(  # noqa: PLR0917 - the sizes of a model
    vocabulary: int,
    positions: int,
    width: int,
    layers: int,
    heads: int,
    dropout: float,
    *,
    bos: int | None = None,
    eos: int | None = None,
) -> Any:
    """A GPT-2 of these sizes with random weights (transformers' own). ``bos``, ``eos``: what its config says
    of the tokens around a text."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=positions,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            use_cache=False,
            bos_token_id=bos,
            eos_token_id=eos,
        )
    )


def _mapper(config: GptPrefixConfig) -> nn.Module:
    if config.mapper == "mlp":
        return MlpMapper(config.pictures[0], config.prefix, config.width)
    if config.mapper == "linear":
        return LinearMapper(config.pictures[0], config.prefix, config.width)
    if config.mapper == "transformer":
        return TransformerMapper(
            config.pictures[0],
            config.prefix,
            config.width,
            clip_length=config.clip_length,
            layers=config.mapper_layers,
            heads=config.mapper_heads,
            ratio=config.mapper_ratio,
        )
    if config.mapper == "grid":
        return GridMapper(config.pictures[0], config.width)
    if config.mapper == "layers":
        return LayersMapper(config.pictures, config.width)
    raise ValueError(f"The mapper is mlp, linear, transformer, grid or layers, not {config.mapper!r}.")
