"""One YAML file describes one run. Every key is checked before anything slow begins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.common.yaml_files import complaint, read_yaml
from inference.presets.preset import Preset, is_named, preset, weights_at
from inference.tokenizers.words_read import WordsRead
from train_scripts.metrics.evaluator import MEASURES
from train_scripts.training.rewards import REWARDS

__all__ = [
    "CONFIGS",
    "REWARD",
    "VAL_LOSS",
    "AugmentConfig",
    "DetectorConfig",
    "OptimizerConfig",
    "RewardConfig",
    "ScheduleConfig",
    "StageConfig",
    "TrainConfig",
    "config_names",
    "load_config",
    "models_dir",
]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
VAL_LOSS = "val_loss"
REWARD = "reward"
RANDOM = "random"


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OptimizerConfig(_Settings):
    """What changes the weights. ``adam8bit`` (of bitsandbytes) keeps Adam's state in 8 bits to save memory of
    a GPU; here it is plain AdamW, which takes the same steps with more memory."""

    name: Literal["adam", "adamw", "adam8bit"] = "adam"
    rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)

    @field_validator("betas")
    @classmethod
    def _below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("both must be at least 0 and below 1")
        return value


class ScheduleConfig(_Settings):
    """The learning rate by optimizer steps, as a part of the optimizer's ``rate``.

    * ``constant``: 1 after the warm-up;
    * ``linear``: down to 0 at the end of the stage;
    * ``noam`` (Vaswani et al. 2017): down with the square root of the step, 1 at the end of the warm-up;
    * ``step``: times ``factor`` at each of ``milestones``;
    * ``onecycle`` (Smith & Topin 2018, as torch has it): up from 1 / ``start_divisor`` to 1 during ``rise``
      of the stage, then down to 1 / (``start_divisor`` * ``final_divisor``).
    """

    name: Literal["constant", "linear", "noam", "step", "onecycle"] = "constant"
    warmup: int = Field(default=0, ge=0)  # steps from 0 to the full rate, in a straight line
    milestones: tuple[int, ...] = ()
    factor: float = Field(default=0.5, gt=0)
    rise: float = Field(default=0.3, gt=0, lt=1)
    start_divisor: float = Field(default=25.0, ge=1)
    final_divisor: float = Field(default=1e4, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> ScheduleConfig:
        if self.name == "onecycle" and self.warmup:
            raise ValueError("onecycle warms up by itself: leave warmup out, or set rise")
        if self.name == "noam" and not self.warmup:
            raise ValueError("noam needs a warmup of at least 1 step")
        if self.name == "step" and not self.milestones:
            raise ValueError("step needs milestones, the steps at which the rate falls")
        return self


class AugmentConfig(_Settings):
    """Changes of a picture that leave every letter on it readable: nothing is mirrored, turned or cut off.

    Each is made with ``probability``; a strength of 0 leaves it out.
    """

    probability: float = Field(default=0.5, ge=0, le=1)
    brightness: float = Field(default=0.25, ge=0, lt=1)  # times 1 - this .. 1 + this
    contrast: float = Field(default=0.25, ge=0, lt=1)
    colour: float = Field(default=0.4, ge=0, le=1)  # saturation
    blur: float = Field(default=0.6, ge=0, le=3)  # the largest radius in pixels of what the encoder sees
    jpeg: int = Field(default=40, ge=0, le=95)  # the lowest quality that it is saved with again; 0: never
    shrink: float = Field(default=0.12, ge=0, le=0.5)  # the largest part of a side that becomes a border


class RewardConfig(_Settings):
    """Self-critical training, see :mod:`train_scripts.training.self_critical`."""

    weights: dict[str, float]  # of the scores of `train_scripts.training.rewards`, of any sign
    samples: int = Field(default=5, ge=2)  # captions drawn of each picture in a step
    likelihood: float = Field(default=0.0, ge=0)  # how much the loss of the captions themselves counts beside

    @field_validator("weights")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = next((name for name in value if name not in REWARDS), None)
        if unknown is not None or not value:
            raise ValueError(f"there is no score {unknown!r}, choose among {', '.join(REWARDS)}")
        return value


class StageConfig(_Settings):
    """One stretch of training on one choice of data."""

    data: tuple[str, ...]  # names of `sources`
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)  # rows at once on each process
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ScheduleConfig()
    accumulate: int = Field(default=1, ge=1)  # batches to one step of the optimizer
    clip: float | None = Field(default=None, gt=0)  # the largest norm of the gradient
    teacher_forcing: float = Field(
        1.0, gt=0, le=1
    )  # how likely a token fed is the true one, not the model's own
    augment: AugmentConfig | None = None
    pairs_per_epoch: int = Field(default=0, ge=0)  # so many random rows make an epoch; 0: all of them
    limit: int = Field(default=0, ge=0)  # only the first so many rows; 0: all of them
    unread: float = Field(
        default=0.0, ge=0, lt=1
    )  # how likely a caption is learned as if nothing was read on its picture, by a model that is given words
    reward: RewardConfig | None = None  # captions are drawn and rewarded; None: those of the data are learned
    metric: str = (
        VAL_LOSS  # what tells the best weights: val_loss, a score of `train_scripts evaluate`, or reward
    )
    held_out: int = Field(
        default=0, ge=0
    )  # so many pictures of train are not learned from: they, not val, tell the best weights
    patience: int | None = Field(default=None, ge=1)  # epochs without a better one after which the stage ends
    validate_every: int = Field(default=1, ge=1)  # epochs
    validate_pictures: int = Field(
        default=0, ge=0
    )  # only the first so many pictures of val are captioned; 0: all
    checkpoint_every: int = Field(
        0, ge=0
    )  # epochs after which a checkpoint is kept; 0: only the last and best

    @field_validator("data")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("a stage needs data: name at least one of the sources")
        return value

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        keys = [VAL_LOSS, REWARD, *(measure.key for measure in MEASURES if measure.better != "neither")]
        plain = {key.replace("_", ""): key for key in keys}
        if value.replace("_", "").lower() not in plain:
            raise ValueError(f"there is no metric {value!r}, choose one of {', '.join(keys)}")
        return plain[value.replace("_", "").lower()]

    @model_validator(mode="after")
    def _fits(self) -> StageConfig:
        if self.metric == REWARD and self.reward is None:
            raise ValueError("the metric reward needs a reward: say under reward what is rewarded")
        if self.reward is not None and self.teacher_forcing < 1:
            raise ValueError("captions that are drawn are fed as they are: leave teacher_forcing out")
        return self


class EncoderConfig(_Settings):
    """``weights``: a member of torchvision's enum (IMAGENET1K_V1), a package that carries them, a file or
    folder, or ``random``."""

    weights: str
    settings: dict[str, Any] = {}  # changes of the preset's encoder, for example {trainable_stages: 2}


class VocabularyConfig(_Settings):
    """How a word vocabulary is made from the captions of all stages; what is left out is the preset's."""

    threshold: int | None = Field(default=None, ge=1)  # a word must come so often
    limit: int | None = Field(default=None, ge=0)  # the vocabulary's size; 0: no limit


class DetectorConfig(_Settings):
    """Word detectors, see :mod:`train_scripts.training.detecting`: fitted when the training is over, or
    before the stage ``before``, from which on the decoder learns with them."""

    lemmas: int = Field(default=300, ge=1)  # so many content lemmas, the most frequent of the captions
    ridge: float = Field(default=1.0, gt=0)  # of the regression, on vectors of length 1
    strength: float = Field(default=1.0, ge=0)  # what the difference of log-odds is multiplied by
    least: float = Field(default=0.15, ge=0, lt=1)  # how likely a lemma must be to be detected
    undetected: float = Field(default=4.0, ge=0)  # what the logits of other content words are lowered by
    seldom: int = Field(
        default=1, ge=0
    )  # words that come no more often are not said, where the decoder's tokens are pieces of words
    usual: int = Field(
        default=0, ge=0
    )  # there, how often a word that names nothing must come not to be lowered like those
    before: str | None = None  # the stage, by its name
    folds: int = Field(
        default=5, ge=2
    )  # in so many parts the pictures learned from are shared: detectors of the others tell what each shows


class TrainConfig(_Settings):
    """A run. Paths are relative to the folder in which the command runs.

    Where a recipe names no weights, vectors or tokenizer, they are the preset's, in the folder of models
    (``MODELS_DIR``, by default ``checkpoints``).
    """

    preset: str  # a name, or a YAML file as those of inference/presets
    sources: dict[
        str, Path
    ]  # data sets by name: folders with metadata.jsonl, or with train.jsonl and val.jsonl
    stages: dict[str, StageConfig]
    encoder: EncoderConfig
    decoder: dict[str, Any] = {}  # changes of the preset's decoder and bridge
    language_model: str | None = None  # a Hugging Face folder or weight file of a GPT-2, or `random`
    tokenizer: str | None = None  # its folder or file; None: the language model's, or made from the captions
    vocabulary: VocabularyConfig = VocabularyConfig()
    vectors: str | None = None  # the file of word vectors (navec, GloVe, fastText), or `random`
    words: WordsRead | None = None  # how the words read are given to the model; None: the preset's way
    readings: dict[str, Path] = {}  # by source: what `train_scripts read` wrote; needed where words are given
    detectors: DetectorConfig | None = None  # what leads the words said; None: nothing does
    decoding: dict[str, Any] = {}  # changes of how the preset searches
    start_from: Path | None = None  # a trained checkpoint's folder: its model is trained further, as it is
    seed: int = 0
    cache: str = "auto"  # folder of the frozen encoder's features; auto: one an encoder under runs/; off
    cache_half: bool = False  # keep them in 16 bits
    mixed_precision: Literal["no", "auto", "bf16", "fp16"] = "no"  # 16 bits need a GPU; auto: bf16 on one
    workers: int = Field(default=0, ge=0)  # threads that open pictures; 0: one a core
    save_minutes: float = Field(default=5.0, gt=0)  # how often the state is written from which a run goes on
    save_steps: int = Field(default=0, ge=0)  # the same by optimizer steps; 0: by the minutes alone
    half: bool = False  # write the checkpoint in 16 bits
    int8: tuple[str, ...] = ()  # beginnings of the names of matrices that are written in 8 bits

    @field_validator("cache", "mixed_precision", mode="before")
    @classmethod
    def _words(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads ``off`` and ``no`` as false."""
        return {"cache": "off", "mixed_precision": "no"}[str(info.field_name)] if value is False else value

    @field_validator("stages", mode="before")
    @classmethod
    def _left_out(cls, value: Any) -> Any:
        """``null`` takes away a stage of the config that is extended."""
        if isinstance(value, Mapping):
            return {name: stage for name, stage in value.items() if stage is not None}
        return value

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, values: Any) -> Any:
        """Runs kept before sizes were all written out say whether theirs were the small ones."""
        if not isinstance(values, Mapping) or "smoke" not in values:
            return values
        if values["smoke"]:
            raise ValueError(
                "smoke is no setting any more, write the sizes under decoder and encoder.settings, for "
                "example decoder: {hidden: 64}"
            )
        return {key: value for key, value in values.items() if key != "smoke"}

    @model_validator(mode="before")
    @classmethod
    def _as_the_preset_says(cls, values: Any) -> Any:
        """What the recipe leaves open is written out, so that a run's own config says all."""
        if not isinstance(values, Mapping) or not isinstance(values.get("preset"), str):
            return values
        try:
            system = preset(values["preset"])
        except UserError:
            return values  # which is said of the key itself
        models = models_dir()
        usual = {
            "language_model": weights_at(system.decoder.weights, models),
            "tokenizer": weights_at(system.tokenizer.files, models),
            "vectors": weights_at(system.decoder.vectors, models),
        }
        given = {key: value for key, value in values.items() if value is not None or key not in usual}
        encoder = given.get("encoder", {})
        if isinstance(encoder, Mapping) and system.encoder.weights is not None:
            encoder = {"weights": weights_at(system.encoder.weights, models), **encoder}
        return {**usual, **given, "encoder": encoder}

    @field_validator("preset")
    @classmethod
    def _preset(cls, value: str) -> str:
        try:
            preset(value)
        except UserError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("decoding")
    @classmethod
    def _decoding(cls, value: dict[str, Any]) -> dict[str, Any]:
        DecodingOptions.from_dict(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> TrainConfig:
        if not self.stages:
            raise ValueError("there is no stage, add one under stages")
        for name, stage in self.stages.items():
            for source in stage.data:
                if source not in self.sources:
                    raise ValueError(
                        f"stage {name} needs the data {source!r}, which sources does not name "
                        f"(it names {', '.join(self.sources) or 'none'})"
                    )
        before = None if self.detectors is None else self.detectors.before
        if before is not None and before not in self.stages:
            raise ValueError(
                f"detectors.before names the stage {before!r}, which there is not (there are "
                f"{', '.join(self.stages)})"
            )
        return self

    @property
    def system(self) -> Preset:
        """What is trained, with this run's settings."""
        return preset(self.preset).changed(encoder=self.encoder.settings, decoder=self.decoder)

    def fetched(self) -> dict[str, str]:
        """What the run starts from as its preset says, by the key of the config: a path in the folder of
        models, whose first part is what ``pull`` fetches. Without what the recipe has from elsewhere."""
        system, models = self.system, models_dir()
        starts = {
            "language_model": (system.decoder.weights, self.language_model),
            "tokenizer": (system.tokenizer.files, self.tokenizer),
            "vectors": (system.decoder.vectors, self.vectors),
            "encoder.weights": (system.encoder.weights, self.encoder.weights),
        }
        return {
            key: usual
            for key, (usual, own) in starts.items()
            if usual is not None and not is_named(usual) and weights_at(usual, models) == own
        }

    def to_yaml(self) -> str:
        """The whole config, as :func:`load_config` reads it."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), allow_unicode=True, sort_keys=False))


def models_dir() -> Path:
    """The folder of models, in which ``pull`` puts what is trained further."""
    return Path(os.environ.get("MODELS_DIR", "checkpoints"))


def config_names() -> list[str]:
    """The recipes that come with the project."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def load_config(config: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The run that a file describes.

    `config`: a path, or the name of a recipe that comes with the project. A file may begin from another one
    (``extends: NAME or PATH``): mappings are merged, all else replaced. `overrides`: ``key=value``, the keys
    of inner mappings joined by dots, the value written as in YAML.

    Raises UserError, one sentence that names the file and the key.
    """
    layers = _layers(Path(config), ())
    for text in overrides:
        layers.append(("--set", _override(text)))
    merged: dict[str, Any] = {}
    for _, values in layers:
        merged = _merge(merged, values)
    try:
        return TrainConfig.model_validate(merged)
    except ValidationError as error:
        advice = "add it, or begin from a recipe with 'extends'"
        raise UserError(complaint(error, TrainConfig, layers, advice)) from None


def _layers(path: Path, above: tuple[Path, ...]) -> list[tuple[str, dict[str, Any]]]:
    """The file's values, those it extends before them, each with the name of where it stands."""
    shipped = CONFIGS / f"{path.name}.yaml"
    if not path.is_file() and len(path.parts) == 1 and shipped.is_file():
        path = shipped
    if path.resolve() in above:
        raise UserError(f"{path} extends itself: take one of its 'extends' out.")
    values = read_yaml(path, "config", config_names())
    base = values.pop("extends", None)
    if base is None:
        return [(str(path), values)]
    beside = path.parent / str(base)
    below = _layers(beside if beside.is_file() else Path(str(base)), (*above, path.resolve()))
    return [*below, (str(path), values)]


def _override(text: str) -> dict[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"--set {text} is no setting: write --set key=value, for example --set seed=1.")
    try:
        found: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {text} has no value that YAML can read: put it in quotes.") from None
    for part in reversed(key.strip().split(".")):
        found = {part: found}
    return dict(found)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merge(old, value)  # noqa: PLW2901
        merged[key] = value
    return merged
