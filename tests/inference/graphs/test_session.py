"""A graph without weights and the weights for it: what comes together computes, what does not is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from inference.graphs.export import export
from inference.graphs.initializers import names
from inference.graphs.session import Array, Graph, GraphError
from inference.reading.ocr import DETECTOR_GRAPH, RECOGNIZER_GRAPH
from tests.inference.networks import random_statistics


class Net(nn.Module):
    """A convolution with its normalisation and a layer: what exporters like to fold into one another."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.layer = nn.Linear(8, 5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.layer(self.norm(self.convolution(pixels)).relu().mean((2, 3)))
        return values


def make(seed: int) -> Net:
    torch.manual_seed(seed)
    net = Net().eval()
    random_statistics(net)
    return net


def weights_of(net: nn.Module, *, half: bool = False) -> dict[str, Array]:
    return {
        name: (value.half() if half and value.is_floating_point() else value).numpy()
        for name, value in net.state_dict().items()
    }


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "net.onnx"
    pixels = {"pixels": torch.zeros(2, 3, 16, 20)}
    path.write_bytes(export(make(0), pixels, {"pixels": (0, 2, 3)}, ["scores"]))
    return path


def test_one_graph_serves_every_checkpoint_of_its_architecture(graph: Path) -> None:
    pixels = torch.randn(3, 3, 24, 17)
    answers = []
    for seed in (1, 2):
        net = make(seed)
        (scores,) = Graph(graph, weights_of(net))(pixels=pixels.numpy())
        with torch.inference_mode():
            np.testing.assert_allclose(scores, net(pixels).numpy(), atol=1e-5)
        answers.append(scores)
    assert np.abs(answers[0] - answers[1]).max() > 0.01


def test_weights_of_half_precision_are_widened(graph: Path) -> None:
    net = make(3)
    pixels = torch.randn(1, 3, 16, 16)
    (scores,) = Graph(graph, weights_of(net, half=True))(pixels=pixels.numpy())
    with torch.inference_mode():
        np.testing.assert_allclose(scores, net.half().float()(pixels).numpy(), atol=1e-5)


def test_the_graph_holds_no_weights_and_no_path_of_this_machine(graph: Path) -> None:
    data = graph.read_bytes()
    assert len(data) < 10_000
    assert str(Path(__file__).parents[3]).encode() not in data
    assert b"site-packages" not in data


@pytest.mark.parametrize("damage", ["missing", "cut", "no weights", "other shapes"])
def test_what_does_not_fit_is_one_sentence(graph: Path, tmp_path: Path, damage: str) -> None:
    path, weights = tmp_path / "net.onnx", weights_of(make(1))
    if damage != "missing":
        path.write_bytes(graph.read_bytes()[: 500 if damage == "cut" else None])
    if damage == "no weights":
        weights = {}
    if damage == "other shapes":
        weights["layer.weight"] = weights["layer.weight"][:, :4]
    with pytest.raises(GraphError, match=r"net\.onnx .*get (it|both) anew\.$"):
        Graph(path, weights)


def test_the_names_of_the_initializers_are_those_that_onnx_reads(graph: Path) -> None:
    import onnx

    for path in (graph, DETECTOR_GRAPH, RECOGNIZER_GRAPH):
        model = onnx.load(path, load_external_data=False)
        assert names(path.read_bytes()) == [one.name for one in model.graph.initializer]


@pytest.mark.parametrize("data", [b"\x0f", b"\x3a\x05\x00", b"\xff" * 12, b"\x3d\x00"])
def test_what_is_no_graph_has_no_names(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a (field|number)"):
        names(data)


def test_numbers_that_no_checkpoint_keeps_are_no_graph() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.numbers = torch.randn(10, 10)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values @ self.numbers

    with pytest.raises(RuntimeError, match="make it a buffer"):
        export(Fixed(), {"values": torch.zeros(2, 10)}, {}, ["values"])


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys; from PIL import Image; from inference.reading.ocr import Ocr\n"
        "Ocr().read(Image.new('RGB', (200, 100), 'white'))\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import load_file
from inference.common.memory import give_back
from inference.graphs.session import Graph

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

graphs = [Graph(Path(sys.argv[1]), load_file(sys.argv[2]), threads=1) for _ in range(3)]
pixels = np.zeros((1, 3, 1200, 1200), np.float32)
for graph in graphs:  # what the libraries need at first
    graph(pixels=pixels[..., :16, :16])
give_back()
before = resident()
found = []
for graph in graphs:
    graph(pixels=pixels)
    found.append(resident() - before)
give_back()
print(*found, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is resident")
def test_sessions_share_the_memory_they_compute_in_and_give_it_back(graph: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(weights_of(make(1)), weights)
    command = [sys.executable, "-c", MEMORY, str(graph), str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, _, third, afterwards = map(float, done.stdout.split())
    layer = 8 * 1198 * 1198 * 4 / 2**20  # MB: what the convolution yields
    assert first > layer  # it is kept
    assert third < 2 * first  # for the other sessions too,
    assert afterwards < layer / 4  # until nobody waits
