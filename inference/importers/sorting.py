"""What the files are that a person named: their tensors tell, as people name them as they like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.checkpoints.folder import RUCLIP_FILE
from inference.checkpoints.weight_files.pickles import DamagedPickle, Record, UnsafePickle, read_file
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.checkpoints.weight_files.tensorflow import INDEX
from inference.encoders.ruclip_files import weights_in
from inference.importers.family import BPE, TOKENIZER, WORDS, Parts, Request, Role
from inference.tokenizers.youtokentome import FILE as BPE_FILE

_WEIGHTS = {".pt", ".pth", ".dth", ".bin", ".ckpt", ".safetensors", ".zip"}
_PICKLES = {".pkl", ".pickle", ".p"}
_WORDS = {".json", ".txt"}
# What a folder of the hub holds besides a vocabulary.
_NO_VOCABULARY = {
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "manifest.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
}


def sorted_parts(request: Request, roles: Sequence[Role]) -> Parts:
    """The sources by what they are. What is named for a part outweighs what was found for it.

    Raises FileNotFoundError when a file is missing, ImportFailed when it is none of the ``roles`` that it was
    named for, or is damaged.
    """
    parts = Parts()
    for source in request.sources:
        _sort(source, parts, roles)
    if request.vocabulary is not None:
        parts.paths[WORDS] = request.vocabulary
    if request.tokenizer is not None:
        if not request.tokenizer.exists():
            raise FileNotFoundError(
                f"The tokenizer {request.tokenizer} is missing: check the path, or fetch it with 'pull'."
            )
        bpe = _bpe_of(request.tokenizer)
        parts.paths[TOKENIZER if bpe is None else BPE] = bpe or request.tokenizer
    if request.encoder is not None:
        named = Parts()
        _sort(request.encoder, named, roles)
        seeing = next((role for role in named.paths if role.sees), None)
        if seeing is None:
            raise ImportFailed(
                f"{request.encoder} is no encoder that is known: name a CLIP model's folder, or the file of "
                "a VQGAN or of a network of torchvision."
            )
        parts.paths[seeing] = named.paths[seeing]
        parts.states[seeing] = named.states[seeing]
    return parts


def _bpe_of(path: Path) -> Path | None:
    inside = path / BPE_FILE
    return inside if inside.is_file() else path if path.is_file() and path.suffix == ".model" else None


def _sort(source: Path, parts: Parts, roles: Sequence[Role]) -> None:
    if not source.exists():
        raise FileNotFoundError(f"{source} is missing: check the path, or fetch it with 'pull'.")
    if source.is_dir():
        _sort_folder(source, parts, roles)
        return
    suffix = source.suffix.lower()
    if suffix in _WORDS:
        parts.add(WORDS, source)
    elif suffix == ".model":
        parts.add(BPE, source)
    elif suffix in _PICKLES and not _holds_tensors(source):
        parts.add(WORDS, source)
    else:
        state = read_state(source)
        role = next((role for role in roles if role.fits is not None and role.fits(state)), None)
        if role is None:
            parts.strange[source] = state
        else:
            parts.add(role, source, state)


def _sort_folder(folder: Path, parts: Parts, roles: Sequence[Role]) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    names = {path.name for path in files}
    if {"vocab.json", "merges.txt"} <= names or "tokenizer.json" in names:
        parts.add(TOKENIZER, folder)
    weights = [path for path in files if path.suffix.lower() in _WEIGHTS or path.name.endswith(INDEX)]
    usual = weights_in(folder)
    if "config.json" in names and usual in weights:
        weights = [usual]  # the same weights may lie there in several formats
    if RUCLIP_FILE in names:
        weights = [folder / RUCLIP_FILE]
    others = [
        path
        for path in files
        if path.suffix.lower() in _PICKLES | {".json", ".model"} and path.name not in _NO_VOCABULARY
    ]
    for path in [*weights, *others]:
        # A folder from the hub has one tokenizer, its own: of several sources the captioner's is taken.
        if not (path.name == BPE_FILE and BPE in parts.paths):
            _sort(path, parts, roles)


def _holds_tensors(path: Path) -> bool:
    """Whether a .pkl is a pickled module or state dict rather than a vocabulary."""
    try:
        found = read_file(path)
    except UnsafePickle as error:
        raise ImportFailed(
            f"{path} is refused, because it {error}: pickled code would run when it is opened, so ask its "
            "author for plain data."
        ) from error
    except DamagedPickle as error:
        raise ImportFailed(f"{path} is damaged or no pickle: fetch it again.") from error
    if isinstance(found, Record):
        return "_parameters" in found.state
    return isinstance(found, dict) and any(hasattr(value, "stride") for value in found.values())
