"""Every encoder: what it declares is what it yields, what is frozen stays frozen, files load strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from inference.encoders.base import Encoder, build_encoder, kinds, register
from inference.encoders.cnn import (
    ConvolutionalEncoder,
    FeaturePyramidEncoder,
    load_torchvision,
    torchvision_file,
)
from tests.inference.networks import random_statistics

NETWORKS = {
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnext101": "resnext101_32x8d",
    "densenet121": "densenet121",
    "inception_v3": "inception_v3",
    "mobilenet_v3_small": "mobilenet_v3_small",
}
SMALL = {"preprocessing": {"size": 96}}


def full_size(kind: str, **settings: object) -> Encoder:
    with torch.device("meta"):
        return build_encoder({"kind": kind, **settings}).eval()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("yields", ["global", "grid", "layers"])
def test_a_network_yields_what_it_declares(kind: str, yields: str) -> None:
    encoder = full_size(kind, yields=yields)
    side = encoder.preprocessing.size
    memory = encoder(torch.empty(2, 3, side, side, device="meta"))
    if yields == "layers":
        assert [tuple(level.shape) for level in memory] == [(2, width) for width in encoder.widths]
        assert len(memory) == encoder.positions == 4
    elif yields == "grid":
        assert memory.shape == (2, encoder.positions, encoder.widths[0])
    else:
        assert memory.shape == (2, encoder.widths[0])
        assert encoder.positions == 1


@pytest.mark.parametrize(
    ("kind", "size", "shape"),
    [
        ("inception_v3", 299, (64, 2048)),
        ("mobilenet_v3_small", 224, (49, 576)),
        ("resnet101", 224, (49, 2048)),
        ("densenet121", 224, (49, 1024)),
        ("fasterrcnn_fpn", 224, (16, 256)),
        ("ruclip", 384, (144, 768)),
    ],
)
def test_the_grids_of_the_originals(kind: str, size: int, shape: tuple[int, int]) -> None:
    encoder = full_size(kind, yields="grid")
    assert encoder.preprocessing.size == size
    assert (encoder.positions, encoder.widths[0]) == shape
    assert encoder(torch.empty(1, 3, size, size, device="meta")).shape == (1, *shape)


def test_a_grid_can_be_averaged_to_fewer_places() -> None:
    encoder = full_size("resnet50", yields="grid", grid_side=2)
    assert encoder.positions == 4
    assert encoder(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 4, 2048)


@pytest.mark.parametrize("kind", ["resnet34", "densenet121", "mobilenet_v3_small", "inception_v3"])
def test_the_global_vector_is_what_torchvisions_classifier_sees(kind: str, tmp_path: Path) -> None:
    settings = {"aux_logits": True, "init_weights": False} if kind == "inception_v3" else {}
    original = torchvision.models.get_model(NETWORKS[kind], weights=None, **settings).eval()
    random_statistics(original)
    path = tmp_path / "weights.pth"
    torch.save(original.state_dict(), path)
    seen: list[torch.Tensor] = []
    head = {"resnet34": "fc", "inception_v3": "fc"}.get(kind, "classifier")
    original.get_submodule(head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder = build_encoder({"kind": kind, **SMALL}).eval()
    assert isinstance(encoder, ConvolutionalEncoder)
    load_torchvision(encoder, path)
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        original(pixels)
        torch.testing.assert_close(encoder(pixels), seen[0].flatten(1), atol=1e-5, rtol=1e-5)


def test_the_grid_runs_row_by_row_and_its_mean_is_the_global_vector() -> None:
    torch.manual_seed(0)
    grid = build_encoder({"kind": "mobilenet_v3_small", "yields": "grid", **SMALL}).eval()
    features = grid.get_submodule("backbone.features")
    pooled = build_encoder({"kind": "mobilenet_v3_small", **SMALL}).eval()
    pooled.load_state_dict(grid.state_dict())
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(grid(pixels).mean(1), pooled(pixels), atol=1e-5, rtol=1e-5)
        last = features(pixels)
        torch.testing.assert_close(grid(pixels)[:, 1], last[:, :, 0, 1], atol=1e-5, rtol=1e-5)


def test_old_densenet_files_load_too(tmp_path: Path) -> None:
    original = torchvision.models.densenet121(weights=None)
    old = {
        key.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2."): value
        for key, value in original.state_dict().items()
    }
    assert any("denselayer1.norm.1." in key for key in old)
    path = tmp_path / "old.pth"
    torch.save(old, path)
    encoder = build_encoder({"kind": "densenet121", **SMALL})
    assert isinstance(encoder, ConvolutionalEncoder)
    load_torchvision(encoder, path)
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(encoder.backbone.state_dict()[name], original.state_dict()[name])


def test_the_pyramid_is_the_detectors(tmp_path: Path) -> None:
    detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    ).eval()
    path = tmp_path / "detector.pth"
    torch.save(detector.state_dict(), path)
    encoder = build_encoder({"kind": "fasterrcnn_fpn", "yields": "grid", **SMALL}).eval()
    assert isinstance(encoder, FeaturePyramidEncoder)
    load_torchvision(encoder, path)
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        expected = detector.backbone(pixels)["pool"]
        grid = encoder(pixels)
    assert grid.shape == (1, encoder.positions, 256)
    torch.testing.assert_close(grid, expected.flatten(2).transpose(1, 2))
    flat = build_encoder({"kind": "fasterrcnn_fpn", "flatten": True, **SMALL}).eval()
    flat.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(flat(pixels), expected.flatten(1))
    assert flat.widths == (expected[0].numel(),)


def test_a_missing_file_and_another_network_are_refused(tmp_path: Path) -> None:
    encoder = build_encoder({"kind": "resnet34", **SMALL})
    assert isinstance(encoder, ConvolutionalEncoder)
    with pytest.raises(FileNotFoundError, match=r"missing\.pth are missing: fetch them"):
        load_torchvision(encoder, tmp_path / "missing.pth")
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    with pytest.raises(ValueError, match="are of another network"):
        load_torchvision(encoder, path)


def test_weights_are_named_by_the_enum() -> None:
    def file_of(kind: str, **settings: object) -> tuple[str, str] | None:
        with torch.device("meta"):
            encoder = build_encoder({"kind": kind, **settings})
        assert isinstance(encoder, ConvolutionalEncoder | FeaturePyramidEncoder)
        return torchvision_file(encoder)

    url = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url
    assert file_of("resnet50") == (url.rsplit("/", 1)[-1], url)
    detector = file_of("fasterrcnn_fpn")
    assert detector is not None
    assert detector[0].startswith("fasterrcnn_resnet50_fpn_coco")
    assert file_of("resnet50", weights=None) is None
    with pytest.raises(ValueError, match=r"no weights 'IMAGENET1K_V9'.*IMAGENET1K_V1"):
        file_of("resnet50", weights="IMAGENET1K_V9")


def test_what_is_frozen_never_changes_not_even_batchnorm() -> None:
    encoder = build_encoder({"kind": "mobilenet_v3_small", "trainable_stages": 1, **SMALL})
    head = nn.Linear(encoder.widths[0], 1)
    model = nn.Sequential(encoder, head).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        model(torch.randn(4, 3, 96, 96)).square().mean().backward()
        optimiser.step()
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    trained = {key for key in before if int(key.split(".")[2]) >= 9}  # the last of the five stages
    assert changed <= trained
    assert any("running_mean" in key for key in changed)
    assert any(key.endswith("weight") for key in changed)
    assert encoder.training
    first, last = (encoder.get_submodule(f"backbone.features.{place}") for place in (0, 12))
    assert not first.training
    assert last.training
    encoder.eval()
    assert not last.training


def test_a_whole_frozen_encoder_has_nothing_to_train() -> None:
    for kind in kinds():
        encoder = full_size(kind).train()
        assert not any(parameter.requires_grad for parameter in encoder.parameters()), kind
        norms = [m for m in encoder.modules() if isinstance(m, (nn.BatchNorm2d, nn.Dropout))]
        assert not any(module.training for module in norms), kind


def test_the_registry_refuses_what_it_cannot_tell_apart() -> None:
    with pytest.raises(ValueError, match="Two encoders want the name 'resnet50'"):
        register("resnet50")(ConvolutionalEncoder)
    with pytest.raises(ValueError, match=r"Unknown encoder 'resnet9': choose one of .*resnet50"):
        build_encoder({"kind": "resnet9"})
    with pytest.raises(ValueError, match="encoder 'resnet50' has no setting 'depth': choose one of yields"):
        build_encoder({"kind": "resnet50", "depth": 9})
