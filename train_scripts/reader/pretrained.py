"""The weights that the reader starts from: PP-OCRv6 small (PaddleOCR, Apache-2.0) as ONNX files, or what an
earlier training wrote.

The package ``rapidocr`` on PyPI carries both ONNX files. Only their weights are read; the networks are ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor, nn

from inference.common.errors import UserError
from train_scripts.reader.networks import LineRecognizer, TextDetector

DETECTOR_FILE = "PP-OCRv6_det_small.onnx"
RECOGNIZER_FILE = "PP-OCRv6_rec_small.onnx"


class _Graph:
    """The weights of an ONNX graph in the order in which it uses them."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path} is not there: give --pretrained the folder models/ of rapidocr.")
        try:
            import onnx  # noqa: PLC0415 - only this command needs it
            from onnx import numpy_helper  # noqa: PLC0415
        except ImportError:
            raise UserError("The published weights are ONNX files: install the package onnx.") from None

        try:
            model = onnx.load(str(path))
        except Exception as error:  # protobuf's own, by its versions
            raise UserError(f"{path} is damaged or no ONNX file: install rapidocr anew.") from error
        self.metadata = {item.key: item.value for item in model.metadata_props}
        self._weights = {
            item.name: torch.from_numpy(np.array(numpy_helper.to_array(item)))
            for item in model.graph.initializer
        }
        self._alias: dict[str, str] = {}
        self._nodes: list[Any] = []
        for node in model.graph.node:
            if node.op_type in {"Identity", "Cast"}:
                self._alias[node.output[0]] = node.input[0]
            else:
                self._nodes.append(node)

    def _source(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def weight(self, name: str) -> Tensor:
        return self._weights[self._source(name)]

    def convolutions(self) -> list[tuple[Tensor, Tensor | None]]:
        biases = {}
        for node in self._nodes:
            if node.op_type == "Add":
                sources = [self._source(name) for name in node.input]
                for one, other in (sources, sources[::-1]):
                    if other in self._weights:
                        biases[one] = self._weights[other].flatten()
        return [
            (self.weight(node.input[1]), biases.get(self._source(node.output[0])))
            for node in self._nodes
            if node.op_type in {"Conv", "ConvTranspose"}
        ]

    def normalisations(self) -> list[tuple[list[Tensor], float]]:
        """Scale, shift, mean and variance, and the epsilon, of every batch normalisation."""
        return [
            (
                [self.weight(name) for name in node.input[1:]],
                next(item.f for item in node.attribute if item.name == "epsilon"),
            )
            for node in self._nodes
            if node.op_type == "BatchNormalization"
        ]


def _convolutions(module: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]


def _fill(modules: list[nn.Conv2d | nn.ConvTranspose2d], graph: _Graph) -> None:
    stored = graph.convolutions()
    if len(stored) != len(modules):
        raise UserError(
            f"The file has {len(stored)} convolutions, the network {len(modules)}: take PP-OCRv6 small."
        )
    for module, (weight, bias) in zip(modules, stored, strict=True):
        module.weight.copy_(weight.reshape(module.weight.shape))
        if module.bias is not None:
            if bias is None:
                raise UserError("A convolution of the file lacks its bias: take PP-OCRv6 small.")
            module.bias.copy_(bias)


def load(source: Path) -> tuple[TextDetector, LineRecognizer, list[str]]:
    """The networks of a folder ``models/`` of rapidocr, or of a file that :func:`train.save` wrote, and the
    character of each class of the recogniser (the first is CTC's blank).

    Raises:
        UserError: it is missing, damaged or of another architecture.
    """
    if source.is_dir():
        return load_detector(source), *load_recognizer(source)
    try:
        with safetensors.safe_open(source, framework="pt") as file:
            characters: list[str] = json.loads(file.metadata()["characters"])
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        detector, recognizer = TextDetector(), LineRecognizer(len(characters) + 1)
        for prefix, network in (("detector.", detector), ("recognizer.", recognizer)):
            network.load_state_dict(
                {
                    name.removeprefix(prefix): value
                    for name, value in weights.items()
                    if name.startswith(prefix)
                }
            )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError):
        raise UserError(f"{source} is no file that this command wrote, or damaged: name another.") from None
    return detector.eval(), recognizer.eval(), ["", *characters]


@torch.no_grad()
def load_detector(folder: Path) -> TextDetector:
    """The detector as published.

    Raises:
        UserError: the file is missing, damaged or of another architecture.
    """
    network = TextDetector()
    modules = [*_convolutions(network.stem), *_convolutions(network.stages)]
    for lateral in network.lateral:
        modules += _convolutions(lateral)
    for large, narrow in zip(network.large, network.narrow, strict=True):
        modules += [*_convolutions(large), *_convolutions(narrow)]
    modules += [network.smooth, network.enlarge, network.to_map]
    _fill(modules, _Graph(folder / DETECTOR_FILE))
    return network.eval()


@torch.no_grad()
def load_recognizer(folder: Path) -> tuple[LineRecognizer, list[str]]:
    """The recogniser as published, and the character of each class (the first is CTC's blank).

    Raises:
        UserError: the file is missing, damaged or of another architecture.
    """
    graph = _Graph(folder / RECOGNIZER_FILE)
    head = graph.weight("linear_8.w_0")
    network = LineRecognizer(head.shape[1])
    own = (network.shortcut, network.project, network.local)
    modules = [*_convolutions(network.stem), *_convolutions(network.blocks)]
    for part in own:
        modules += _convolutions(part)
    _fill(modules, graph)
    for part, (values, epsilon) in zip(own, graph.normalisations(), strict=True):
        norm = part.get_submodule("1")
        for name, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
            getattr(norm, name).copy_(value)
        norm.__dict__["eps"] = epsilon
    mixers = network.mixers
    norms = [part for part in [*mixers.modules(), network.norm] if isinstance(part, nn.LayerNorm)]
    for number, norm in enumerate(norms):
        norm.weight.copy_(graph.weight(f"helper.reshape.{2 * number}"))
        norm.bias.copy_(graph.weight(f"helper.reshape.{2 * number + 1}"))
    linears = [part for part in mixers.modules() if isinstance(part, nn.Linear)]
    for number, linear in enumerate([*linears, network.head]):
        linear.weight.copy_(graph.weight(f"linear_{number}.w_0").T)
        linear.bias.copy_(graph.weight(f"linear_{number}.b_0"))
    characters = graph.metadata["character"].split("\n")
    return network.eval(), ["", *characters, " "][: head.shape[1]]
