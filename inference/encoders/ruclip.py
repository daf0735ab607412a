"""ruCLIP: the two towers of OpenAI's CLIP (Radford et al. 2021), trained on Russian by Sber and AIRI.

Modules carry the names of the original's state dict, so its files load without renaming.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.encoders.base import Encoder, register
from inference.encoders.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

PAD, UNK, BOS, EOS = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class RuClipConfig:
    """Sizes as ruCLIP's config.json names them; the defaults are ruclip-vit-base-patch32-384's.

    A vision head is 64 wide, as in the original, unless ``vision_heads`` says otherwise.
    """

    embed_dim: int = 512
    image_resolution: int = 384  # pixels
    vision_layers: int = 12
    vision_width: int = 768
    vision_patch_size: int = 32  # pixels
    context_length: int = 77  # tokens
    vocab_size: int = 49408
    transformer_width: int = 512
    transformer_heads: int = 8
    transformer_layers: int = 12
    vision_heads: int = 0


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ResidualAttentionBlock(nn.Module):
    """(n, t, width) to (n, t, width); normalisation before each half."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width)
            )
        )
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``mask`` (t, t): True where a place may not look."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + torch.as_tensor(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, t, width) to (n, t, width)."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class VisionTransformer(nn.Module):
    """Pixels (n, 3, resolution, resolution) to places (n, 1 + p, width) or an embedding (n, embed_dim)."""

    def __init__(self, config: RuClipConfig) -> None:
        super().__init__()
        width, patch = config.vision_width, config.vision_patch_size
        places = (config.image_resolution // patch) ** 2
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(places + 1, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, config.vision_layers, config.vision_heads or width // 64)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, config.embed_dim) * width**-0.5)

    def features(self, pixels: Tensor) -> Tensor:
        """(n, 1 + p, width): the class place first, then the patches row by row; before the last norm."""
        x = self.conv1(pixels).flatten(2).transpose(1, 2)  # (n, p, width)
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        x = torch.cat([first, x], 1) + self.positional_embedding
        y: Tensor = self.transformer(self.ln_pre(x))
        return y

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, embed_dim), not normalised."""
        first: Tensor = self.ln_post(self.features(pixels)[:, 0])
        return first @ self.proj


class RuClip(nn.Module):
    """Both towers; ``similarity`` ranks captions by how well they fit a picture."""

    def __init__(self, config: RuClipConfig | None = None) -> None:
        super().__init__()
        config = config or RuClipConfig()
        self.config = config
        width = config.transformer_width
        self.visual = VisionTransformer(config)
        self.transformer = Transformer(width, config.transformer_layers, config.transformer_heads)
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(config.context_length, width) * 0.01)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, config.embed_dim) * width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """``pixels`` (n, 3, resolution, resolution) to (n, embed_dim), not normalised."""
        features: Tensor = self.visual(pixels)
        return features

    def encode_text(self, tokens: Tensor) -> Tensor:
        """``tokens`` (m, t), int64, t <= context_length: BOS, words, EOS, padding. To (m, embed_dim).

        The text is the vector at its first EOS. Raises ValueError when a row has none.
        """
        ends = tokens == EOS
        if not bool(ends.any(1).all()):
            raise ValueError("Every text needs its end token: encode it with the ruCLIP tokenizer.")
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        mask = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        rows = torch.arange(len(tokens), device=tokens.device)
        pooled: Tensor = x[rows, ends.int().argmax(1)]
        return pooled @ self.text_projection

    def similarity(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Scaled cosines (n, m) of n pictures (n, 3, r, r) with m texts (m, t)."""
        images = functional.normalize(self.encode_image(pixels), dim=-1)
        texts = functional.normalize(self.encode_text(tokens), dim=-1)
        scaled: Tensor = self.logit_scale.exp() * images @ texts.T
        return scaled


def ruclip_preprocessing(resolution: int) -> Preprocessing:
    """Of ruCLIP's own processor: the middle square."""
    return Preprocessing(resolution, "middle", mean=CLIP_MEAN, std=CLIP_STD)


@register("ruclip")
class RuClipEncoder(Encoder):
    """ruCLIP's vision tower as an encoder: ``global`` (n, embed_dim), L2-normalised when ``normalise``; or
    the ``grid`` of patches (n, p, vision_width) after the last norm. Frozen unless ``trainable``."""

    def __init__(
        self,
        *,
        yields: Literal["global", "grid"] = "global",
        normalise: bool = True,
        trainable: bool = False,
        preprocessing: Preprocessing | None = None,
        embed_dim: int = 512,
        image_resolution: int = 384,
        vision_layers: int = 12,
        vision_width: int = 768,
        vision_patch_size: int = 32,
        vision_heads: int = 0,
    ) -> None:
        super().__init__()
        self.yields = yields
        self.normalise = normalise
        self.preprocessing = preprocessing or ruclip_preprocessing(image_resolution)
        self.widths = (embed_dim if yields == "global" else vision_width,)
        self.positions = (image_resolution // vision_patch_size) ** 2 if yields == "grid" else 1
        self.visual = VisionTransformer(
            RuClipConfig(
                embed_dim=embed_dim,
                image_resolution=image_resolution,
                vision_layers=vision_layers,
                vision_width=vision_width,
                vision_patch_size=vision_patch_size,
                vision_heads=vision_heads,
            )
        )
        if not trainable:
            self.freeze(self.visual)

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels`` (n, 3, resolution, resolution). See the class."""
        if self.yields == "grid":
            grid: Tensor = self.visual.ln_post(self.visual.features(pixels)[:, 1:])
            return grid
        features: Tensor = self.visual(pixels)
        return functional.normalize(features, dim=-1) if self.normalise else features
