"""What the presets are and how large: known here without torch, so that listing them takes no time.

The numbers are those of :func:`inference.captioners.presets.build`, which the tests hold them to, with the
vocabulary that the preset names (recurrent ones: 20,000 words unless their original fixed another).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PresetInfo:
    """One system of the originals at full size."""

    description: str  # one line
    trainable: int  # parameters that training changes
    parameters: int  # all


CATALOGUE: dict[str, PresetInfo] = {
    "resnet50-lstm": PresetInfo(
        "Frozen ResNet-50, its vector as the first input of a two-layer LSTM (the first meme baseline).",
        25_752_608,
        49_260_640,
    ),
    "resnet101-lstm-navec": PresetInfo(
        "Frozen ResNet-101 and frozen navec vectors, two-layer LSTM (the meme project's second baseline).",
        14_643_620,
        63_143_780,
    ),
    "resnet34-lstm": PresetInfo(
        "ResNet-34, its vector as the first token of a three-layer LSTM.",
        14_858_368,
        36_143_040,
    ),
    "densenet121-lstm": PresetInfo(
        "Frozen DenseNet-121 behind a Linear of 1024, LSTM of 1024.",
        50_426_400,
        57_380_256,
    ),
    "fasterrcnn-lstm": PresetInfo(
        "The coarsest map of Faster R-CNN's feature pyramid, LSTM.",
        9_469_792,
        36_322_208,
    ),
    "inception-lstm-glove": PresetInfo(
        "Inception-v3 makes the first state of an LSTM over GloVe vectors (v1).",
        14_025_248,
        41_810_816,
    ),
    "inception-lstm-crawl": PresetInfo(
        "Inception-v3, fastText vectors, one more layer before the vocabulary (v2).",
        14_287_904,
        42_073_472,
    ),
    "inception-attention": PresetInfo(
        "Additive attention over Inception-v3's 8x8 grid (v3).",
        19_531_809,
        47_317_377,
    ),
    "resnext101-attention": PresetInfo(
        "Additive attention over ResNeXt-101's grid (v4).",
        19_531_809,
        112_274_145,
    ),
    "resnet101-attention": PresetInfo(
        "Additive attention over ResNet-101's grid (v5).",
        19_531_809,
        68_031_969,
    ),
    "resnet101-lstm": PresetInfo(
        "ResNet-101 makes the first state of an LSTM (v6).",
        14_025_248,
        62_525_408,
    ),
    "resnet101-attention-dot": PresetInfo(
        "Dot-product attention over ResNet-101's grid (v7).",
        19_270_176,
        67_770_336,
    ),
    "inception-bahdanau": PresetInfo(
        "Bahdanau attention over Inception-v3's grid, LSTM, tuned GloVe vectors.",
        10_978_537,
        32_764_105,
    ),
    "inception-bahdanau-gru": PresetInfo(
        "Bahdanau attention over Inception-v3's grid, GRU, tuned GloVe vectors.",
        8_988_393,
        30_773_961,
    ),
    "mobilenet-soft-attention": PresetInfo(
        "Gated soft attention over MobileNet-v3-small's 7x7 grid, LSTM of 1024.",
        56_791_137,
        57_718_145,
    ),
    "clipcap-mlp": PresetInfo(
        "ruCLIP's vector through an MLP to 10 prefix positions of a frozen ruGPT-3 small.",
        31_468_800,
        244_622_592,
    ),
    "clipcap-mlp-tuned": PresetInfo(
        "clipcap-mlp with its language model tuned.",
        156_700_416,
        244_622_592,
    ),
    "clipcap-transformer": PresetInfo(
        "ruCLIP's vector through an 8-layer transformer to 40 prefix positions of a frozen ruGPT-3 small.",
        53_587_968,
        266_741_760,
    ),
    "gpt2-inception-prefix": PresetInfo(
        "The 64 places of Inception-v3's grid between two markers as the prefix of GPT-2, with token types.",
        126_014_976,
        147_800_544,
    ),
    "gpt2-resnet-multilayer-prefix": PresetInfo(
        "One prefix position of ruGPT-3 small from each of four layers of ResNet-50.",
        128_183_808,
        151_691_840,
    ),
    "rudolph": PresetInfo(
        "RuDOLPH-350M: one transformer over the picture's 16 x 16 codes and the caption.",
        50_853_952,
        383_679_040,
    ),
}
