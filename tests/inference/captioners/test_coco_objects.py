"""The detector as a captioner: its weights in torchvision's own file, what it sees, what is said of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.transforms.functional import to_tensor

from inference.captioners.captioner import load_captioner
from inference.captioners.coco_objects.describer import PROPOSALS, ObjectDescriber, detect, load_detector
from inference.checkpoints import coco_objects as weights
from inference.checkpoints.names import CocoObjects
from inference.common.types import DecodingOptions, EngineError, UnknownModel
from tests.drawing import draw_meme
from tests.inference.fakes import hash_of
from tests.inference.networks import random_statistics
from tests.readings import reading_of

DOG, CAT = 18, 17
SIDE = 64  # pixels: quick


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As the published file has them, which is older than the parts they are named after."""
    found = {}
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            old = re.sub(r"(fpn\.(?:inner|layer)_blocks\.\d)\.0\.", r"\1.", key)
            found[old.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = value
    return found


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """torchvision's own detector with random weights, sure that everything is a dog."""
    torch.manual_seed(3)
    detector: torch.nn.Module = fasterrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=SIDE,
        max_size=2 * SIDE,
        rpn_pre_nms_top_n_test=PROPOSALS,
        rpn_post_nms_top_n_test=PROPOSALS,
    ).eval()
    with torch.no_grad():
        detector.get_parameter("roi_heads.box_predictor.cls_score.weight").mul_(1e-3)
        bias = detector.get_parameter("roi_heads.box_predictor.cls_score.bias")
        bias[DOG], bias[CAT] = 8.0, 6.0
    random_statistics(detector, means=0.0)
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0  # as torchvision sets it for COCO_V1
    return detector


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory, reference: torch.nn.Module) -> Path:
    folder = tmp_path_factory.mktemp("models")
    state = old_names(reference.state_dict())
    assert len(state) == 295  # as many as the published file has
    torch.save(state, folder / weights.FILE)
    return folder


def test_the_file_loads_and_sees_what_torchvision_sees(models_dir: Path, reference: torch.nn.Module) -> None:
    image = draw_meme("photo").resize((160, 120))
    detector = load_detector(weights.weights(models_dir), side=SIDE)
    with torch.inference_mode():
        (theirs,) = reference([to_tensor(image)])
        (ours,) = detector([to_tensor(image)])
    assert len(theirs["boxes"]) > 0
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value)
    things = detect(detector, image, sure=0.5)
    assert {one.label for one in things} == {"dog"}
    assert 0 < len(things) <= int((theirs["scores"] >= 0.5).sum())
    assert things[0].score == pytest.approx(float(theirs["scores"].max()), abs=1e-5)
    size = torch.tensor([160, 120, 160, 120])
    best = theirs["boxes"][theirs["scores"].argmax()] / size
    assert things[0].box == pytest.approx(best.tolist(), abs=1e-5)
    assert detect(detector, image, sure=1.1) == []


def test_a_picture_gets_a_caption_from_what_is_seen_and_read(models_dir: Path) -> None:
    captioner = load_captioner(CocoObjects.name, models_dir)
    digest = hashlib.sha256((models_dir / weights.FILE).read_bytes()).hexdigest()
    assert (captioner.name, captioner.checkpoint) == ("coco-objects", digest)
    meme = draw_meme("caption_bar")
    (caption,) = captioner.caption([meme], DecodingOptions(strategy="greedy"))
    assert (caption.model, caption.checkpoint) == ("coco-objects", digest)
    assert caption.text.startswith(("На картинке", "Знакомых предметов"))
    assert caption.words
    assert all(f"«{words}»" in caption.text for words in caption.words)


def test_weights_are_found_where_torchvision_keeps_its_own(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    assert str(hub) == torch.hub.get_dir() + "/checkpoints"
    (hub / weights.FILE).symlink_to(models_dir / weights.FILE)
    assert weights.weights(tmp_path / "nowhere") == hub / weights.FILE
    assert hash_of(tmp_path / "nowhere", CocoObjects.name) == hash_of(models_dir, CocoObjects.name)


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    for ask in (
        weights.weights,
        lambda folder: hash_of(folder, CocoObjects.name),
        lambda folder: load_captioner(CocoObjects.name, folder),
    ):
        with pytest.raises(UnknownModel, match="python -m inference pull fasterrcnn_fpn"):
            ask(tmp_path)


def test_damaged_weights_and_those_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / weights.FILE
    path.write_bytes(b"no weights")
    with pytest.raises(EngineError, match="damaged or no weight file"):
        load_captioner("coco-objects", tmp_path)
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(EngineError, match=r"another network than torchvision's Faster R-CNN"):
        load_captioner("coco-objects", tmp_path)


def test_what_is_seen_does_not_depend_on_the_neighbours(models_dir: Path) -> None:
    describer = ObjectDescriber(load_detector(models_dir / weights.FILE, side=SIDE))
    images = [Image.new("RGB", (60, 90), "white"), Image.new("RGB", (120, 40), "grey")]
    options = DecodingOptions(strategy="greedy")
    together = describer.describe(images, [reading_of(), reading_of()], options)
    alone = [describer.describe([image], [reading_of()], options) for image in images]
    assert together == ([one[0][0] for one in alone], [one[1][0] for one in alone])
