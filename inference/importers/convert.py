"""Other people's files to a whole checkpoint of ours, whichever of the known formats they are.

What a file is, its tensors tell: people name them as they like. What a captioner needs besides (an encoder, a
vocabulary) is taken from the sources, from what was named for it, or from what ``pull`` fetched before.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from inference.captioners.encoder_decoder import CaptionModel, SpecialTokens
from inference.checkpoints import manifest
from inference.checkpoints.config import TrainingRecord
from inference.checkpoints.folder import CARD_FILE, CONFIG_FILE
from inference.checkpoints.format import TRAINING_FILE, CheckpointError, write_tensors
from inference.checkpoints.pull.pulling import find_pulled
from inference.checkpoints.weight_files.pickles import DamagedPickle, Record, UnsafePickle, read_file
from inference.checkpoints.weight_files.state import ImportFailed, State, read_state
from inference.common.json_text import readable
from inference.common.types import DecodingOptions
from inference.encoders.base import Encoder
from inference.encoders.ruclip_files import (
    RUCLIP_FILE,
    ImportedRuClip,
    import_ruclip,
    is_ruclip,
    settings_of,
    weights_in,
)
from inference.importers.clipcap import import_clipcap, is_clipcap
from inference.importers.recurrent import (
    fitting_vocabulary,
    import_meme_baseline,
    import_mobilenet,
    import_soft_attention,
    is_meme_decoder,
    is_meme_encoder,
    is_mobilenet,
    is_soft_attention,
)
from inference.importers.rudolph import import_rudolph, import_vqgan, is_rudolph, is_vqgan
from inference.presets.preset import Preset, preset
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.youtokentome import FILE as BPE_FILE
from inference.tokenizers.youtokentome import YouTokenToMe

FORMATS = ("clipcap", "meme-baseline", "soft-attention", "ruclip", "rudolph")
_WEIGHTS = {".pt", ".pth", ".dth", ".bin", ".ckpt", ".safetensors"}
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
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt")
_ROLES: dict[str, Callable[[State], bool]] = {
    "clipcap": is_clipcap,
    "rudolph": is_rudolph,
    "vqgan": is_vqgan,
    "ruclip": is_ruclip,
    "soft-attention": is_soft_attention,
    "meme-encoder": is_meme_encoder,
    "meme-decoder": is_meme_decoder,
    "mobilenet": is_mobilenet,
}
_CALLED = {
    "clipcap": "ClipCap checkpoint",
    "rudolph": "RuDOLPH model",
    "vqgan": "Gumbel VQGAN",
    "ruclip": "CLIP model",
    "soft-attention": "soft attention decoder",
    "meme-encoder": "meme baseline's encoder",
    "meme-decoder": "meme baseline's decoder",
    "mobilenet": "MobileNet-v3-small",
    "words": "vocabulary",
    "bpe": "youtokentome model",
    "tokenizer": "GPT-2 tokenizer folder",
}
# Which files make a captioner of the format.
_MAIN = {
    "clipcap": ("clipcap",),
    "meme-baseline": ("meme-encoder", "meme-decoder"),
    "soft-attention": ("soft-attention",),
    "ruclip": ("ruclip",),
    "rudolph": ("rudolph",),
}
_RUGPT_WORDS, _ENGLISH_WORDS = 50264, 50257


@dataclass(frozen=True)
class Request:
    """What to convert.

    ``sources``: files and folders. ``vocabulary``, ``tokenizer`` and ``encoder`` name parts that are not
    among them. ``end``: the text whose first token ends a sentence, where the tokenizer's end token does not
    (the published English ClipCap files stop at a full stop). ``heads``: of a language model of unusual
    shape. ``normalise``: picture vectors to length 1; None: as is usual for the encoder.
    """

    sources: tuple[Path, ...]
    models_dir: Path
    format: str = "auto"
    vocabulary: Path | None = None
    tokenizer: Path | None = None
    encoder: Path | None = None
    end: str | None = None
    heads: int | None = None
    normalise: bool | None = None


@dataclass
class _Parts:
    """The files by what they are, with the tensors of those that hold any."""

    paths: dict[str, Path] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)

    def add(self, role: str, path: Path, state: State | None = None) -> None:
        if role in self.paths and self.paths[role] != path:
            raise ImportFailed(
                f"{self.paths[role]} and {path} are both a {_CALLED[role]}: name the one that is meant."
            )
        self.paths[role] = path
        if state is not None:
            self.states[role] = state

    def need(self, role: str, advice: str) -> Path:
        if role not in self.paths:
            raise ImportFailed(f"A {_CALLED[role]} is missing: {advice}.")
        return self.paths[role]


def convert(request: Request, out: Path) -> str:
    """Writes the checkpoint folder ``out``, whole or not at all; the format that was found.

    Raises FileNotFoundError when a file is missing, ImportFailed when the files are not what they should be
    or do not belong together, CheckpointError when the folder is there already or cannot be written.
    """
    if out.exists():
        raise CheckpointError(f"{out} is there already: choose another --out, or remove it first.")
    parts = _sorted(request)
    chosen = _format(request, parts)
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        if chosen == "ruclip":
            _write_ruclip(request, parts, part)
        else:
            model, options, name = _BUILD[chosen](request, parts)
            model.eval().save(part, options, TrainingRecord(source=_source(chosen, parts)), preset=name)
        manifest.record(
            part, {path.name: manifest.entry_of(path) for path in part.iterdir() if _is_vouched(path)}
        )
        (part / CARD_FILE).write_text(_card(out.name, chosen, parts), encoding="utf-8")
        part.rename(out)
    except SafetensorError as error:
        raise CheckpointError(
            f"The checkpoint cannot be written to {out} ({error}): make room there."
        ) from error
    except OSError as error:
        if error.errno is None:  # a part that is missing: the sentence says which
            raise
        raise CheckpointError(
            f"The checkpoint cannot be written to {out} ({error.strerror or error}): make room there."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return chosen


def _is_vouched(path: Path) -> bool:
    """What is for people to read may be edited by hand; all else is as it was made."""
    return path.name not in {CONFIG_FILE, TRAINING_FILE, CARD_FILE, manifest.FILE}


def _sorted(request: Request) -> _Parts:
    """The sources by what they are. What is named for a part outweighs what was found for it."""
    parts = _Parts()
    for source in request.sources:
        _sort(source, parts)
    if request.vocabulary is not None:
        parts.paths["words"] = request.vocabulary
    if request.tokenizer is not None:
        if not request.tokenizer.exists():
            raise FileNotFoundError(
                f"The tokenizer {request.tokenizer} is missing: check the path, or fetch it with 'pull'."
            )
        role = "bpe" if _bpe_of(request.tokenizer) else "tokenizer"
        parts.paths[role] = _bpe_of(request.tokenizer) or request.tokenizer
    if request.encoder is not None:
        named = _Parts()
        _sort(request.encoder, named)
        for role, path in named.paths.items():
            if role in {"ruclip", "vqgan", "mobilenet", "meme-encoder"}:
                parts.paths[role] = path
                parts.states[role] = named.states[role]
                break
        else:
            raise ImportFailed(
                f"{request.encoder} is no encoder that is known: name a CLIP model's folder, or a VQGAN's or "
                "MobileNet-v3-small's file."
            )
    return parts


def _bpe_of(path: Path) -> Path | None:
    inside = path / BPE_FILE
    return inside if inside.is_file() else path if path.is_file() and path.suffix == ".model" else None


def _sort(source: Path, parts: _Parts) -> None:
    if not source.exists():
        raise FileNotFoundError(f"{source} is missing: check the path, or fetch it with 'pull'.")
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.is_file())
        _sort_folder(source, files, parts)
        return
    suffix = source.suffix.lower()
    if suffix in _WORDS:
        parts.add("words", source)
    elif suffix == ".model":
        parts.add("bpe", source)
    elif suffix in _PICKLES and not _holds_tensors(source):
        parts.add("words", source)
    else:
        state = read_state(source)
        role = next((role for role, fits in _ROLES.items() if fits(state)), "")
        parts.add(role or f"unknown:{source}", source, state)


def _sort_folder(folder: Path, files: list[Path], parts: _Parts) -> None:
    names = {path.name for path in files}
    if {"vocab.json", "merges.txt"} <= names or "tokenizer.json" in names:
        parts.add("tokenizer", folder)
    weights = [path for path in files if path.suffix.lower() in _WEIGHTS]
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
        if not (path.name == BPE_FILE and "bpe" in parts.paths):
            _sort(path, parts)


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


def _format(request: Request, parts: _Parts) -> str:
    if request.format != "auto":
        if request.format not in FORMATS:
            raise ImportFailed(
                f"There is no format {request.format!r}: choose auto, {', '.join(FORMATS[:-1])} or "
                f"{FORMATS[-1]}."
            )
        for role in _MAIN[request.format]:
            if role not in parts.paths:
                raise ImportFailed(
                    f"The sources hold no {_CALLED[role]}, which the format {request.format} needs"
                    f"{_seen(parts)}: name another --format, or the right files."
                )
        return request.format
    # A CLIP model may be a captioner's encoder: alone it is a format of its own.
    for name in ("clipcap", "meme-baseline", "soft-attention", "rudolph", "ruclip"):
        if any(role in parts.paths for role in _MAIN[name]):
            for role in _MAIN[name]:
                parts.need(role, "name the file that was saved with the other one")
            return name
    raise ImportFailed(
        f"The sources are no captioner of a known format{_seen(parts)}: the formats are {', '.join(FORMATS)}."
    )


def _seen(parts: _Parts) -> str:
    """What the sources are instead, for a message."""
    known = [f"a {_CALLED[role]}" for role in parts.paths if role in _CALLED]
    strange = [state for role, state in parts.states.items() if role not in _CALLED]
    unknown = [f"a table that begins with {next(iter(state))}" for state in strange]
    return f" (found: {', '.join(known + unknown)})" if known or unknown else ""


Built = tuple[CaptionModel, DecodingOptions, str]  # with the name of the preset that it is like


def _clipcap(request: Request, parts: _Parts) -> Built:
    path = parts.paths["clipcap"]
    decoder = import_clipcap(path, heads=request.heads, state=parts.states.pop("clipcap"))
    width, words = decoder.config.pictures[0], decoder.vocabulary
    name = "clipcap-transformer" if decoder.config.mapper == "transformer" else "clipcap-mlp"
    encoder = _clip(request, parts, width, path, preset(name))
    if "tokenizer" not in parts.paths:
        entry = {_RUGPT_WORDS: "rugpt3small", _ENGLISH_WORDS: "gpt2"}.get(words)
        pulled = find_pulled(request.models_dir, entry) if entry else None
        if pulled is None:
            advice = f" ('python -m inference pull {entry}')" if entry else ""
            raise ImportFailed(
                f"{path} needs the tokenizer of its language model, which knows {words} tokens{advice}: name "
                "its folder with --tokenizer."
            )
        parts.paths["tokenizer"] = pulled
    folder = parts.paths["tokenizer"]
    tokenizer = Gpt2Tokenizer.load(folder if folder.is_dir() else folder.parent)
    silent = _checked_size(len(tokenizer), words, folder, path)
    eos = tokenizer.eos
    if request.end:
        eos = (tokenizer.encode(request.end) or [eos])[0]
    elif words == _ENGLISH_WORDS:
        eos = tokenizer.encode(".")[0]
    room = decoder.config.positions - decoder.config.prefix
    options = {"strategy": "greedy", "max_tokens": min(67 if words == _ENGLISH_WORDS else 50, room)}
    special = SpecialTokens(tokenizer.bos, eos, tokenizer.pad, silent)
    return (
        CaptionModel(encoder, decoder, special, tokenizer),
        DecodingOptions.from_dict(options),
        name,
    )


def _clip(request: Request, parts: _Parts, width: int, path: Path, system: Preset) -> Encoder:
    if "ruclip" in parts.paths:
        source = parts.paths["ruclip"]
        found = import_ruclip(source, state=parts.states.pop("ruclip"))
    else:
        pulled = find_pulled(request.models_dir, "ruclip-vit-base-patch32-384") if width == 512 else None
        if pulled is None:
            raise ImportFailed(
                f"{path} was trained on a CLIP model's vectors of {width} numbers: name that model's folder "
                "with --encoder ('python -m inference pull --list' shows those that can be fetched)."
            )
        source = parts.paths["ruclip"] = pulled
        found = import_ruclip(pulled)
    if found.model.config.embed_dim != width:
        raise ImportFailed(
            f"{path} was trained on picture vectors of {width} numbers, {source} gives "
            f"{found.model.config.embed_dim}: name the CLIP model that it was trained with."
        )
    if found.openai:
        return found.encoder(normalise=request.normalise)
    # ruCLIP's towers differ in size; how a picture becomes a square is the captioner's.
    fitted = system.encoder.settings["preprocessing"]
    preprocessing = replace(found.preprocessing, fit=fitted["fit"], via=fitted["via"])
    return found.encoder(normalise=request.normalise, preprocessing=preprocessing)


def _checked_size(known: int, words: int, tokenizer: Path, path: Path) -> tuple[int, ...]:
    """Tokens that the model may say and the tokenizer has no text for: language models have a few, as their
    tables are rounded up."""
    if known > words or words - known > max(64, words // 100):
        raise ImportFailed(
            f"{tokenizer} has {known} tokens, {path} was trained with {words}: they are not of the same "
            "captioner, so find the tokenizer that it was trained with."
        )
    return tuple(range(known, words))


def _meme_baseline(request: Request, parts: _Parts) -> Built:  # noqa: ARG001 - the builders' signature
    words = parts.need("words", "name the JSON that was saved with the decoder with --vocabulary")
    encoder, decoder, tokenizer = import_meme_baseline(
        parts.paths["meme-encoder"],
        parts.paths["meme-decoder"],
        words,
        seen=parts.states.pop("meme-encoder"),
        spoken=parts.states.pop("meme-decoder"),
    )
    name = "resnet50-lstm" if tokenizer.has_start else "resnet101-lstm-navec"
    silent = () if tokenizer.has_start or tokenizer.unk is None else (tokenizer.unk,)
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad, silent)
    return CaptionModel(encoder, decoder, special, tokenizer), preset(name).options, name


def _soft_attention(request: Request, parts: _Parts) -> Built:
    name, path = "mobilenet-soft-attention", parts.paths["soft-attention"]
    vocabulary = parts.need("words", "name the vocab.pkl or JSON of the captioner with --vocabulary")
    decoder = import_soft_attention(path, state=parts.states.pop("soft-attention"))
    tokenizer = fitting_vocabulary(vocabulary, path, decoder.vocabulary)
    if "mobilenet" not in parts.paths:
        folder = find_pulled(request.models_dir, "mobilenet_v3_small")
        found = sorted(folder.glob("*.pth")) if folder else []
        if not found:
            raise ImportFailed(
                f"{path} saw through torchvision's MobileNet-v3-small, which is missing: fetch it with "
                "'python -m inference pull mobilenet_v3_small', or name its file with --encoder."
            )
        parts.paths["mobilenet"] = found[0]
    encoder = import_mobilenet(parts.paths["mobilenet"], state=parts.states.pop("mobilenet", None))
    if encoder.widths != (decoder.config.picture,):
        raise ImportFailed(
            f"{path} was trained on places of {decoder.config.picture} numbers, MobileNet-v3-small gives "
            f"{encoder.widths[0]}: it is another captioner's decoder."
        )
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad)
    return CaptionModel(encoder, decoder, special, tokenizer), preset(name).options, name


def _rudolph(request: Request, parts: _Parts) -> Built:
    path = parts.paths["rudolph"]
    decoder, special = import_rudolph(path, heads=request.heads, state=parts.states.pop("rudolph"))
    for role, name, pattern in (
        ("vqgan", "vqgan-gumbel-f8", "*.ckpt"),
        ("bpe", "rudolph", BPE_FILE),
    ):
        if role not in parts.paths:
            folder = find_pulled(request.models_dir, name)
            found = sorted(folder.glob(pattern)) if folder else []
            if not found:
                raise ImportFailed(
                    f"{path} needs a {_CALLED[role]} besides: fetch it with "
                    f"'python -m inference pull {name}', or name its file among the sources."
                )
            parts.paths[role] = found[0]
    side = decoder.config.side
    state = parts.states.pop("vqgan", None)
    state = read_state(parts.paths["vqgan"]) if state is None else state
    levels = len({key.split(".")[2] for key in state if key.startswith("encoder.down.")})
    encoder = import_vqgan(
        parts.paths["vqgan"],
        size=side * 2 ** (levels - 1),
        # The second edition is used as RuDOLPH's package uses it, the first as the meme project tuned it.
        fit="middle" if decoder.config.right_prompt else "squash",
        state=state,
    )
    if encoder.widths[0] > decoder.config.codes:
        raise ImportFailed(
            f"{parts.paths['vqgan']} has {encoder.widths[0]} codes, {path} knows {decoder.config.codes}: "
            "they do not belong together."
        )
    tokenizer = YouTokenToMe(parts.paths["bpe"])
    extra = decoder.config.codes - encoder.widths[0] if decoder.config.right_prompt else 0
    silent = _checked_size(len(tokenizer), decoder.vocabulary - extra, parts.paths["bpe"], path)
    special = replace(special, forbidden=tuple(sorted({*special.forbidden, *silent})))
    usual = preset("rudolph").options.to_dict()
    room = decoder.config.right - len(decoder.config.right_prompt)
    options = DecodingOptions.from_dict({**usual, "max_tokens": min(usual["max_tokens"], room)})
    return CaptionModel(encoder, decoder, special, tokenizer), options, "rudolph"


_BUILD: dict[str, Callable[[Request, _Parts], Built]] = {
    "clipcap": _clipcap,
    "meme-baseline": _meme_baseline,
    "soft-attention": _soft_attention,
    "rudolph": _rudolph,
}


def _write_ruclip(request: Request, parts: _Parts, folder: Path) -> None:  # noqa: ARG001
    """Both towers. They rank captions and see for captioners, but write none: the weights get a name of their
    own, so that nothing offers them as a captioner."""
    found: ImportedRuClip = import_ruclip(parts.paths["ruclip"], state=parts.states.pop("ruclip"))
    config = {"architecture": "ruclip", **settings_of(found), "source": _source("ruclip", parts)}
    tensors = {name: tensor.contiguous() for name, tensor in found.model.state_dict().items()}
    write_tensors(folder / RUCLIP_FILE, tensors, {"format": "pt"})
    (folder / CONFIG_FILE).write_text(readable(config), encoding="utf-8")
    if found.tokenizer is not None:
        found.tokenizer.save(folder)


def _source(chosen: str, parts: _Parts) -> dict[str, Any]:
    """Where the weights came from, for training.json, or a CLIP model's config.json."""
    files: dict[str, str] = {}
    for role, path in parts.paths.items():
        inside = [weights_in(path)] if role == "ruclip" else [path / name for name in _TOKENIZER_FILES]
        for file in inside if path.is_dir() else [path]:
            if file.is_file():
                files[file.name] = manifest.sha256_of(file)
    return {"format": chosen, "files": files}


def _card(name: str, chosen: str, parts: _Parts) -> str:
    sources = "".join(f"- {_CALLED[role]}: `{path.name}`\n" for role, path in sorted(parts.paths.items()))
    what = (
        "Ranks captions by how well they fit a picture, and sees for captioners."
        if chosen == "ruclip"
        else "Converted from the files below; what they are licensed under holds for this checkpoint too."
    )
    return f"# {name}\n\n{what}\n\nFormat: {chosen}\n\n{sources}"
