"""Any captioner of the Hugging Face hub: ``hf:ORG/NAME`` loaded through transformers, with our reading step.

Two kinds are told apart by their processor. A model that *talks* (Qwen-VL, LLaVA, SmolVLM: it has a chat
template) gets the picture, the words read and our prompts, and answers questions, see
:mod:`inference.captioners.chat.conversation`. A *captioner* (an encoder and a decoder, BLIP, GIT ...) gets
the picture; its caption is translated where a translation model is named, and the words read are put
behind it. See :mod:`inference.checkpoints.hub` for the settings.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from inference.captioners.chat.conversation import Conversation, begun, carried_on
from inference.captioners.chat.judging import is_in
from inference.captioners.hub.loading import HubError, load_model, load_part
from inference.captioners.hub.translation import Translator
from inference.checkpoints.hub import HubSettings, fetch
from inference.checkpoints.names import HubModel
from inference.checkpoints.prompts import Prompts
from inference.common.types import Asked, DecodingOptions
from inference.decoding.processors import NoRepeatNgram, RepetitionPenalty
from inference.reading.inscriptions import inscriptions
from inference.reading.reading import Reading

logger = logging.getLogger(__name__)

_NEW_TOKENS = {"talker": 300, "captioner": 60}  # where the model's own settings name no number


class HubDescriber:
    """A describer as :class:`~inference.captioners.captioner.Captioner` wants it.

    ``options``: the model's own.
    """

    def __init__(
        self,
        model: HubModel,
        snapshot: Path,
        prompt: str | None = None,
        translator: Translator | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        # Each of them takes seconds to import.
        from transformers import AutoConfig, AutoModelForImageTextToText  # noqa: PLC0415
        from transformers.models.auto.modeling_auto import (  # noqa: PLC0415
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        )

        kind = load_part(AutoConfig, snapshot, model).model_type
        if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            raise HubError(
                f"{model} is of the kind {kind!r}, which describes no pictures: choose an image-to-text or "
                "image-text-to-text model."
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model: Any = load_model(AutoModelForImageTextToText, snapshot, model, dtype="auto")
        if self.device.type == "cpu" and self.model.dtype == torch.float16:
            self.model.float()  # processors compute in float16 slowly, some operations not at all
        self.model.to(self.device)
        self.processor, self.tokenizer = _processor(snapshot, model, kind)
        self.talks = bool(getattr(self.processor, "chat_template", None))
        self.prompt = None if self.talks else prompt
        self._prompts = Prompts.of().described_by(prompt if self.talks else None)
        self.translator = translator
        if self.prompt and self.processor is not None and not hasattr(self.processor, "tokenizer"):
            logger.warning("%s takes no prompt: HUB_PROMPT is not used.", model)
            self.prompt = None
        self.options = self._own_options()
        self._ends = self._end_tokens()

    @classmethod
    def load(cls, settings: HubSettings, models_dir: Path) -> Self:
        """The describer that the settings ask for; what is not here is fetched. A GPU is used where there is
        one.

        Raises:
            UnknownModel: the model, or the one that translates, is neither here nor to be had.
            HubError: it is damaged, unsafe, needs code of its own, or describes no pictures.
        """
        translator = None
        if settings.translation is not None:
            translator = Translator(settings.translation, models_dir)
        return cls(settings.model, fetch(settings.model, models_dir), settings.prompt, translator)

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the mean log-probability of its tokens."""
        if self.talks:
            return self._describe(images, readings, options)
        texts, likelihoods = self._caption(images, options)
        if self.translator is not None:
            texts = self.translator.translate(texts)
        described = [
            " ".join(filter(None, (_sentence(text), inscriptions(reading))))
            for text, reading in zip(texts, readings, strict=True)
        ]
        return described, likelihoods

    def answer(self, image: Image.Image, reading: Reading, asked: Asked, options: DecodingOptions) -> str:
        """What one that talks says to a question about a picture."""
        return self._carry_on(image, begun(reading, asked, options, self._prompts), options)[0]

    def _describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One picture after the other: prompts differ in length, and a processor gains nothing by batches."""
        told = [
            self._carry_on(image, begun(reading, None, options, self._prompts), options)
            for image, reading in zip(images, readings, strict=True)
        ]
        return [text for text, _ in told], [likelihood for _, likelihood in told]

    def _carry_on(
        self, image: Image.Image, messages: Conversation, options: DecodingOptions
    ) -> tuple[str, float]:
        """What comes of a conversation, and the mean log-probability of what was said last."""
        talk = carried_on(messages, options, self._prompts)
        messages = next(talk)
        while True:
            (text,), (likelihood,) = self._generate(self._inputs(image, messages), options)
            try:
                messages = talk.send(text)
            except StopIteration as end:
                said = str(end.value)
                break
        if self.translator is not None and options.language == "ru" and not is_in("ru", said):
            (said,) = self.translator.translate([said])
        return said, likelihood

    def _inputs(self, image: Image.Image, messages: Conversation) -> Any:
        """The conversation as the model's template writes it, the picture in its first message."""
        told: list[dict[str, Any]] = [
            {"role": one.role, "content": [{"type": "text", "text": one.text}]} for one in messages
        ]
        told[0]["content"].insert(0, {"type": "image", "image": image})
        return self.processor.apply_chat_template(
            told, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )

    def _caption(
        self, images: Sequence[Image.Image], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        batches: list[list[Image.Image]] = [list(images)]
        if options.strategy == "sample" or (
            len({image.size for image in images}) > 1 and not self._fixed_size
        ):
            # Sampled one by one, a picture's caption does not depend on its neighbours.
            batches = [[image] for image in images]
        texts: list[str] = []
        likelihoods: list[float] = []
        for batch in batches:
            asked: dict[str, Any] = {"images": batch, "return_tensors": "pt"}
            if self.prompt:
                asked["text"] = [self.prompt] * len(batch)
            try:
                found, scores = self._generate(self.processor(**asked), options)
            except (TypeError, ValueError) as error:
                if self.prompt:
                    raise
                reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
                raise HubError(
                    f"The model wants a text with a picture ({reason}): set HUB_PROMPT to what its page says."
                ) from error
            texts += found
            likelihoods += scores
        return texts, likelihoods

    @property
    def _fixed_size(self) -> bool:
        """The processor makes all pictures the same size, so that they fit into one tensor."""
        own = getattr(self.processor, "image_processor", self.processor)
        size = getattr(own, "size", None) or {}
        return "height" in size and "width" in size and bool(getattr(own, "do_resize", True))

    @torch.inference_mode()
    def _generate(self, inputs: Any, options: DecodingOptions) -> tuple[list[str], list[float]]:
        """Text and mean log-probability for each picture of the processor's output."""
        prepared = inputs.to(self.device)
        for key, value in prepared.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                prepared[key] = value.to(self.model.dtype)
        own = _OwnTokens(options)
        chosen: dict[str, Any] = {
            "max_new_tokens": options.max_tokens,
            "min_new_tokens": min(options.min_tokens, options.max_tokens),
            # These two would count the prompt's words too, and so keep a chat model from quoting them: ours.
            "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0,
            "do_sample": options.strategy == "sample",
            "num_beams": options.beams if options.strategy == "beam" else 1,
            "return_dict_in_generate": True,
            "output_logits": True,
        }
        beams = chosen["num_beams"] > 1
        if beams:
            # A beam's logits would be kept for every token and beam: its score says as much.
            chosen |= {
                "output_logits": False,
                "output_scores": True,
                "length_penalty": options.length_penalty,
            }
        if options.strategy == "sample":
            chosen |= {"temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p}
        from transformers import LogitsProcessorList  # noqa: PLC0415

        with torch.random.fork_rng(enabled=options.seed is not None):
            if options.seed is not None:
                torch.manual_seed(options.seed)
            out = self.model.generate(**prepared, **chosen, logits_processor=LogitsProcessorList([own]))
        tokens = out.sequences[:, own.prompt :].cpu()
        lengths = [self._length(row) for row in tokens.tolist()]
        if beams:
            power = options.length_penalty
            likelihoods = [
                float(score) * n**power / n
                for score, n in zip(out.sequences_scores.tolist(), lengths, strict=True)
            ]
        else:
            likelihoods = _means(out.logits, tokens, lengths)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts] if not self.talks else texts, likelihoods

    def _length(self, row: list[int]) -> int:
        """Tokens up to the end token, that one included."""
        return next((i + 1 for i, token in enumerate(row) if token in self._ends), max(len(row), 1))

    def _own_options(self) -> DecodingOptions:
        """What the repository's generation_config.json asks for, as far as it has a place here."""
        own = self.model.generation_config
        beams = int(getattr(own, "num_beams", None) or 1)
        most = getattr(own, "max_new_tokens", None)
        if not most and not self.talks and (length := getattr(own, "max_length", None)) and length > 20:
            most = length  # 20 is transformers' own default, which nobody chose
        return DecodingOptions(
            strategy="beam" if beams > 1 else "greedy",
            beams=beams,
            max_tokens=int(most or _NEW_TOKENS["talker" if self.talks else "captioner"]),
            length_penalty=float(_or(getattr(own, "length_penalty", None), 1.0)),
            repetition_penalty=float(_or(getattr(own, "repetition_penalty", None), 1.0)),
            no_repeat_ngram=int(getattr(own, "no_repeat_ngram_size", None) or 0),
        )

    def _end_tokens(self) -> frozenset[int]:
        config, text = self.model.config, getattr(self.model.config, "text_config", None)
        found: list[Any] = []
        for place in (self.model.generation_config, config, text, self.tokenizer):
            for name in ("eos_token_id", "sep_token_id"):
                value = getattr(place, name, None)
                found += value if isinstance(value, (list, tuple)) else [value]
        return frozenset(int(token) for token in found if token is not None)


class _OwnTokens:
    """Our repetition rules as one of transformers' logits processors; they look at what was generated only.

    ``prompt``: how many tokens stood before that.
    """

    def __init__(self, options: DecodingOptions) -> None:
        self.prompt = -1
        self._rules: list[RepetitionPenalty | NoRepeatNgram] = []
        if options.repetition_penalty != 1:
            self._rules.append(RepetitionPenalty(options.repetition_penalty))
        if options.no_repeat_ngram:
            self._rules.append(NoRepeatNgram(options.no_repeat_ngram))

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        if self.prompt < 0:
            self.prompt = tokens.shape[1]
        if not self._rules:
            return logits
        said, ruled = tokens[:, self.prompt :].cpu().numpy(), logits.float().cpu().numpy()
        for rule in self._rules:
            ruled = rule(said, ruled)
        return torch.from_numpy(ruled).to(logits)


def _means(logits: Sequence[Tensor], tokens: Tensor, lengths: Sequence[int]) -> list[float]:
    """Mean log-probability of each row's tokens up to its length, from one (n, V) tensor a step."""
    totals = torch.zeros(len(tokens))
    steps = torch.tensor(lengths)
    for step, scores in enumerate(logits):
        said = scores.float().log_softmax(-1).cpu().gather(1, tokens[:, step, None])[:, 0]
        totals += torch.where(steps > step, said, 0.0)
    return [total / n for total, n in zip(totals.tolist(), lengths, strict=True)]


def _processor(snapshot: Path, model: HubModel, kind: str) -> tuple[Any, Any]:
    """What makes tensors of pictures and texts, and what makes texts of tokens."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer  # noqa: PLC0415

    if kind == "vision-encoder-decoder":  # its repositories have the two, but nothing that joins them
        return load_part(AutoImageProcessor, snapshot, model), load_part(AutoTokenizer, snapshot, model)
    processor = load_part(AutoProcessor, snapshot, model)
    return processor, getattr(processor, "tokenizer", processor)


def _sentence(text: str) -> str:
    """A caption with a capital letter and a full stop; "" stays."""
    text = text.strip(" .")
    if not text:
        return ""
    return f"{text[0].upper()}{text[1:]}{'' if text[-1] in '!?…»' else '.'}"


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
