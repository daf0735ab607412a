"""What the importers share: what is asked for, the files by what they are, and a format itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints import manifest
from inference.checkpoints.config import TrainingRecord
from inference.checkpoints.weight_files.state import ImportFailed, State, read_state
from inference.common.types import DecodingOptions
from inference.encoders.ruclip_files import weights_in
from inference.presets.preset import Description, preset

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt")


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


@dataclass(frozen=True)
class Role:
    """What a file can be to a captioner. Files of weights are told by the names of their tensors (``fits``);
    one that ``sees`` may be named as the encoder."""

    called: str  # in a message
    fits: Callable[[State], bool] | None = None
    sees: bool = False


WORDS = Role("vocabulary")
BPE = Role("youtokentome model")
TOKENIZER = Role("GPT-2 tokenizer folder")


@dataclass
class Parts:
    """The files by what they are, with the tensors of those that hold any."""

    paths: dict[Role, Path] = field(default_factory=dict)
    states: dict[Role, State] = field(default_factory=dict)
    strange: dict[Path, State] = field(default_factory=dict)  # weights of no known kind

    def add(self, role: Role, path: Path, state: State | None = None) -> None:
        """Raises ImportFailed when there is another such file."""
        if role in self.paths and self.paths[role] != path:
            raise ImportFailed(
                f"{self.paths[role]} and {path} are both a {role.called}: name the one that is meant."
            )
        self.paths[role] = path
        if state is not None:
            self.states[role] = state

    def need(self, role: Role, advice: str) -> Path:
        """Where it is. Raises ImportFailed, with the advice, when there is none."""
        if role not in self.paths:
            raise ImportFailed(f"A {role.called} is missing: {advice}.")
        return self.paths[role]

    def state(self, role: Role) -> State:
        """The tensors of a file, which are then forgotten: each is needed once."""
        state = self.states.pop(role, None)
        return read_state(self.paths[role]) if state is None else state

    def seen(self) -> str:
        """What there is, for a message."""
        known = [f"a {role.called}" for role in self.paths]
        unknown = [f"a table that begins with {next(iter(state))}" for state in self.strange.values()]
        return f" (found: {', '.join(known + unknown)})" if known or unknown else ""

    def source(self, chosen: str) -> dict[str, Any]:
        """Where the weights came from, for training.json, or a CLIP model's config.json."""
        files: dict[str, str] = {}
        for role, path in self.paths.items():
            inside = [path / name for name in _TOKENIZER_FILES] if role is TOKENIZER else [weights_in(path)]
            for file in inside if path.is_dir() else [path]:
                if file.is_file():
                    files[file.name] = manifest.sha256_of(file)
        return {"format": chosen, "files": files}


Built = tuple[CaptionModel, DecodingOptions, str]  # with the name of the preset that it is like


@dataclass(frozen=True)
class Family:
    """A format: the files that make it (``main``) and those that it may need besides, and how it is written.

    ``write``: into a folder, from its files, and says what that is; ``captions``: whether it is a captioner.
    """

    name: str
    main: tuple[Role, ...]
    write: Callable[[Request, Parts, Path], Description]
    others: tuple[Role, ...] = ()
    captions: bool = True


def captioner(
    name: str,
    main: tuple[Role, ...],
    build: Callable[[Request, Parts], Built],
    others: tuple[Role, ...] = (),
) -> Family:
    """A format of captioners: ``build`` makes the model, which is saved as a checkpoint."""

    def write(request: Request, parts: Parts, folder: Path) -> Description:
        model, options, system = build(request, parts)
        model.eval().save(folder, options, TrainingRecord(source=parts.source(name)), preset=system)
        return preset(system).description

    return Family(name, main, write, others)
