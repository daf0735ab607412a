"""Whether a checkpoint is whole: what was recorded, every number in it, and that it captions a picture."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open

from inference.captioners.captioner import load_captioner
from inference.checkpoints import manifest
from inference.checkpoints.folder import CONFIG_FILE, RUCLIP_FILE, WEIGHTS_FILE
from inference.checkpoints.format import CheckpointError, read_config, read_training
from inference.checkpoints.models import checkpoint_hash
from inference.checkpoints.names import ModelName
from inference.common.extras import require
from inference.common.file_names import is_plain
from inference.common.types import EngineError

_DIGITS = re.compile(r"-([0-9a-f]{8})\.[a-z]+$")  # of torchvision's file names
_WEIGHTS = {".pt", ".pth", ".dth", ".bin", ".ckpt", ".safetensors"}


def verify(target: str, models_dir: Path) -> str:
    """One sentence that says what was proved of a model's name, a folder or a weight file.

    Raises EngineError with one sentence that says what is wrong: an unknown name, a hash other than the
    recorded one, a number that is none, files of another architecture, or a model that cannot caption.
    """
    path = Path(target)
    if not path.exists():
        path = models_dir / target if is_plain(target) else path
    try:
        if path.is_file() and path.name not in {WEIGHTS_FILE, RUCLIP_FILE}:
            return _file(path)
        folder = path.parent if path.is_file() else path
        if (folder / RUCLIP_FILE).is_file():
            return _ranker(folder)
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
            return _checkpoint(folder.resolve())
        if folder.is_dir() and manifest.read_manifest(folder):
            return _pulled(folder)
        if not folder.is_dir():
            # It says which names there are. Of the hub's models only those are proved that lie here.
            checkpoint_hash(models_dir, ModelName.parse(target))
            return _captions(target, models_dir, "")
        raise CheckpointError(
            f"{folder} is no checkpoint: it needs {CONFIG_FILE} and {WEIGHTS_FILE}, or a {manifest.FILE}."
        )
    except manifest.ManifestError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions."
        ) from error


def _checkpoint(folder: Path) -> str:
    read_config(folder)
    read_training(folder)
    recorded = _recorded(folder)
    numbers, tensors = _finite(folder / WEIGHTS_FILE)
    digest = manifest.sha256_of(folder / WEIGHTS_FILE)
    about = f"{numbers / 1e6:.1f} M numbers in {tensors} tensors, sha256 {digest} ({recorded})"
    return _captions(folder.name, folder.parent, about)


def _recorded(folder: Path) -> str:
    """Raises CheckpointError when a recorded file has changed."""
    if wrong := manifest.mismatch(folder):
        raise CheckpointError(wrong)
    return "as recorded" if manifest.read_manifest(folder) else "none was recorded to compare with"


def _finite(weights: Path) -> tuple[int, int]:
    """(numbers, tensors), one tensor in memory at a time. Raises CheckpointError for an infinite number."""
    numbers = tensors = 0
    try:
        with safe_open(weights, "np") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dict
                tensor = opened.get_tensor(name)
                _check_finite(weights, name, tensor)
                numbers += tensor.size
                tensors += 1
    except SafetensorError as error:
        raise CheckpointError(
            f"{weights} is damaged or no safetensors file: get the checkpoint anew."
        ) from error
    return numbers, tensors


def _check_finite(path: Path, name: str, tensor: npt.NDArray[Any]) -> None:
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise CheckpointError(
            f"{name} in {path} holds numbers that are not finite: the training went wrong, or the file is "
            "damaged, so take an earlier checkpoint or get it anew."
        )


def _captions(name: str, models_dir: Path, about: str) -> str:
    """Loads strictly and describes a drawn picture."""
    started = time.perf_counter()
    captioner = load_captioner(name, models_dir)
    loaded = time.perf_counter()
    try:
        (caption,) = captioner.caption([drawn_picture()])
    except EngineError:
        raise
    except Exception as error:  # whatever it is, the checkpoint is not usable
        raise CheckpointError(
            f"{name} loads, but cannot describe a picture ({type(error).__name__}: {error}): get it anew or "
            "train it again."
        ) from error
    done = time.perf_counter()
    proofs = [part for part in (about,) if part]
    proofs.append(f"loaded in {loaded - started:.1f} s")
    proofs.append(f"described a drawn picture in {done - loaded:.1f} s ({_short(caption.text)})")
    return f"{name} is whole: {'; '.join(proofs)}."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"«{line[:60]}…»" if len(line) > 60 else f"«{line}»"


def _ranker(folder: Path) -> str:
    require("models", f"The ranker {folder.name}")
    import torch  # noqa: PLC0415

    from inference.encoders.ruclip_files import import_ruclip  # noqa: PLC0415

    recorded = _recorded(folder)
    numbers, tensors = _finite(folder / RUCLIP_FILE)
    try:
        found = import_ruclip(folder)
        with torch.inference_mode():
            features = found.model.encode_image(torch.from_numpy(found.preprocessing([drawn_picture()])))
            if found.tokenizer is not None:
                tokens = [2, *found.tokenizer.encode("картинка"), 3]
                features = found.model.encode_text(torch.tensor([tokens])) @ features.T
    except (FileNotFoundError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder} cannot be used: {error}") from error
    _check_finite(folder, "what it says of a drawn picture", features.numpy())
    digest = manifest.sha256_of(folder / RUCLIP_FILE)
    return (
        f"{folder.name} is whole: {numbers / 1e6:.1f} M numbers in {tensors} tensors, sha256 {digest} "
        f"({recorded}); it ranks captions and writes none."
    )


def _pulled(folder: Path) -> str:
    """The files of a folder that ``pull`` wrote."""
    recorded = _recorded(folder)
    entries = manifest.read_manifest(folder)
    if WEIGHTS_FILE in entries and "url" not in entries[WEIGHTS_FILE]:  # a checkpoint's, not fetched alone
        raise CheckpointError(
            f"{folder} is no whole checkpoint: its {CONFIG_FILE} is missing, so get it anew."
        )
    names = sorted(entries)
    for name in names:
        if Path(name).suffix in _WEIGHTS:
            _readable(folder / name)
    return f"{folder.name} is whole: {', '.join(names)} (sha256 {recorded})."


def _file(path: Path) -> str:
    """A weight file of others."""
    entry = manifest.read_manifest(path.parent).get(path.name)
    digest = manifest.sha256_of(path)
    expected = entry["sha256"] if entry else ""
    how = "as recorded" if entry else "none was recorded to compare with"
    if not entry and (digits := _DIGITS.search(path.name)):
        expected, how = digits[1], "as its name begins"
    if not digest.startswith(expected):
        raise CheckpointError(
            f"{path} has the sha256 {digest}, but {expected} was expected: the file was changed or damaged, "
            "so get it anew."
        )
    if path.suffix not in _WEIGHTS:
        if not expected:
            raise CheckpointError(
                f"Nothing can be proved of {path}, which is no weight file and of which no sha256 was "
                "recorded: name a model, a checkpoint's folder or a weight file."
            )
        return f"{path} is as it should be: sha256 {digest} ({how})."
    tensors = _readable(path)
    return f"{path} is whole: {tensors} tensors, sha256 {digest} ({how})."


def _readable(path: Path) -> int:
    require("models", f"A look into {path.name}")
    from inference.checkpoints.weight_files.state import ImportFailed, read_state  # noqa: PLC0415

    try:
        state = read_state(path)
    except ImportFailed as error:
        raise CheckpointError(str(error)) from error
    for name, tensor in state.items():
        _check_finite(path, name, tensor.numpy())
    return len(state)


def drawn_picture() -> Image.Image:
    """A sun, a house and a meadow, 320 x 240, the same every time."""
    image = Image.new("RGB", (320, 240), "skyblue")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 170, 320, 240), fill="green")
    pen.ellipse((240, 20, 290, 70), fill="yellow")
    pen.rectangle((80, 100, 180, 190), fill="brown")
    pen.polygon(((70, 100), (190, 100), (130, 50)), fill="darkred")
    return image
