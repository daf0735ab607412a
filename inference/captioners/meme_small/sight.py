"""What the shipped model's encoder sees: EfficientNet-Lite0 on ONNX Runtime.

The graph beside this file holds no weights; ``python -m train_scripts graphs`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from inference.captioners.meme_small.memory import Array
from inference.encoders.preprocessing import Preprocessing
from inference.graphs.session import Graph

__all__ = ["ENCODER", "GRAPH_FILE", "Sight"]

GRAPH_FILE = Path(__file__).with_name("encoder.onnx")

ENCODER: dict[str, Any] = {
    "kind": "efficientnet_lite0",
    "preprocessing": {"size": 320, "mean": [127 / 255] * 3, "std": [128 / 255] * 3, "filter": "bicubic"},
}


class Sight:
    """``encoder``: of a checkpoint's config; ``weights``: of its tensors, by their whole names.

    Raises ValueError when the encoder is another than the graph's, GraphError when the weights are.
    """

    def __init__(
        self, encoder: Mapping[str, Any], weights: Mapping[str, Array], *, threads: int | None = None
    ) -> None:
        self._preprocessing = Preprocessing.from_dict(encoder["preprocessing"])
        kind, size = encoder["kind"], self._preprocessing.size
        known, served = ENCODER["kind"], ENCODER["preprocessing"]["size"]
        if (kind, size) != (known, served):
            raise ValueError(f"its encoder is {kind} at {size} pixels, instead of {known} at {served}")
        self._graph = Graph(GRAPH_FILE, weights, threads=threads)

    def __call__(self, images: Sequence[Image.Image]) -> Array:
        """Mean and maximum over the places of n upright RGB pictures: (n, 2, 1280), float32."""
        (pooled,) = self._graph(pixels=self._preprocessing(images))
        return pooled
