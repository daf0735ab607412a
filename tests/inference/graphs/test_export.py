"""What the exporter writes is put into the words in which the runtime is fast, and means the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.graphs.export import export
from inference.graphs.session import Graph


def padded(values: Tensor) -> Tensor:
    return functional.max_pool2d(functional.pad(values, (0, 1, 0, 1)), 2, 1)


BODIES: dict[str, tuple[Callable[[Tensor], Tensor], set[str], set[str]]] = {
    # What is computed, operators that the graph must have, and those that it must not.
    "zeros around a ReLU": (lambda values: padded(values.relu()), {"MaxPool"}, {"Pad"}),
    "zeros around more than that": (padded, {"Pad", "MaxPool"}, set()),
    "and a pooling that pads itself": (
        lambda values: functional.max_pool2d(functional.pad(values.relu(), (1, 0, 0, 0)), 3, 2, 1),
        {"MaxPool"},
        {"Pad"},
    ),
    "windows of nothing but zeros": (
        lambda values: functional.max_pool2d(functional.pad(values.relu(), (2, 0, 0, 0)), 2, 1),
        {"Pad", "MaxPool"},
        set(),
    ),
    "mean over places": (
        lambda values: values * values.mean((2, 3), keepdim=True),
        {"GlobalAveragePool"},
        {"ReduceMean"},
    ),
    "one place": (
        lambda values: functional.adaptive_avg_pool2d(values, 1),
        {"GlobalAveragePool"},
        {"ReduceMean"},
    ),
    "mean over rows": (lambda values: values.mean(2, keepdim=True), {"ReduceMean"}, {"GlobalAveragePool"}),
    "mean that drops the places": (lambda values: values.mean((2, 3)), {"ReduceMean"}, {"GlobalAveragePool"}),
    "several places": (
        lambda values: functional.adaptive_avg_pool2d(values, 4),
        set(),
        {"GlobalAveragePool"},
    ),
    "GELU": (functional.gelu, {"Gelu"}, {"Erf"}),
}


class Net(nn.Module):
    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, bias=False)
        self.body = body

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(self.convolution(pixels))


@pytest.mark.parametrize("name", BODIES)
def test_what_is_written_otherwise_computes_the_same(name: str, tmp_path: Path) -> None:
    import onnx

    body, there, gone = BODIES[name]
    torch.manual_seed(0)
    net = Net(body).eval()
    free = {} if name == "several places" else {"pixels": (0, 2, 3)}
    path = tmp_path / "net.onnx"
    path.write_bytes(export(net, {"pixels": torch.zeros(2, 3, 14, 18)}, free, ["values"]))
    operators = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    assert there <= operators and not gone & operators
    pixels = torch.randn(2, 3, 14, 18) - 1
    (found,) = Graph(path, {"convolution.weight": net.convolution.weight.detach().numpy()})(
        pixels=pixels.numpy()
    )
    with torch.inference_mode():
        np.testing.assert_allclose(found, net(pixels).numpy(), atol=1e-5)
