"""The graphs that ship compute what the networks compute that training knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inference.reading.ocr import DETECTOR_GRAPH, RECOGNIZER_GRAPH, WEIGHTS_FILE, Ocr
from tests.drawing import draw_meme
from train_scripts.reader import pretrained
from train_scripts.reader.graphs import detector_graph, recognizer_graph


@pytest.fixture(scope="module")
def reader() -> Ocr:
    return Ocr(threads=1)


def values(image: Image.Image) -> np.ndarray:
    """(1, 3, h, w), -1..1, blue first."""
    return (np.asarray(image, dtype=np.float32)[None, :, :, ::-1].transpose(0, 3, 1, 2) / 127.5 - 1).copy()


@pytest.mark.parametrize("size", [(448, 320), (96, 800), (32, 32)])
def test_the_detector_sees_what_pytorch_sees(reader: Ocr, size: tuple[int, int]) -> None:
    network, _, _ = pretrained.load(WEIGHTS_FILE)
    pixels = values(draw_meme("caption_bar", "Кот пришёл домой").resize(size))
    (found,) = reader._detector(pixels=pixels)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 320), (5, 64), (8, 1600)])
def test_the_recogniser_reads_what_pytorch_reads(reader: Ocr, shape: tuple[int, int]) -> None:
    _, network, _ = pretrained.load(WEIGHTS_FILE)
    count, width = shape
    line = values(draw_meme("text_only", "Ещё пять минут").resize((width, 48)))
    noise = np.random.default_rng(3).uniform(-0.2, 0.2, (count, 3, 48, width)).astype(np.float32)
    pixels = np.clip(line + noise, -1, 1)
    (steps,) = reader._recognizer(pixels=pixels)
    weight, bias = reader._head
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).softmax(dim=-1).numpy()
    found = torch.from_numpy(steps @ weight + bias).softmax(dim=-1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("shipped", "make"), [(DETECTOR_GRAPH, detector_graph), (RECOGNIZER_GRAPH, recognizer_graph)]
)
def test_the_graphs_are_those_of_the_networks(shipped: Path, make: Callable[[], bytes]) -> None:
    """Who changes an architecture writes them anew: ``python -m train_scripts graphs``."""
    import onnx

    own, new = (onnx.load_from_string(graph) for graph in (shipped.read_bytes(), make()))
    weights = [[(one.name, tuple(one.dims)) for one in model.graph.initializer] for model in (own, new)]
    assert weights[0] == weights[1]
    assert [node.op_type for node in own.graph.node] == [node.op_type for node in new.graph.node]
