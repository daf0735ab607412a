"""Hub captioners: tiny random models in the formats of real ones, against transformers called directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BlipForConditionalGeneration,
    VisionEncoderDecoderModel,
    pipeline,
)

from inference.captioners.captioner import load_captioner
from inference.captioners.chat.conversation import Conversation, begun, carried_on
from inference.captioners.hub import describer as hub
from inference.captioners.hub.loading import HubError
from inference.captioners.hub.translation import Translator
from inference.checkpoints.hub import find_snapshot
from inference.checkpoints.models import model_info
from inference.checkpoints.names import HubModel, ModelName
from inference.checkpoints.prompts import Prompts
from inference.common.types import Asked, CannotTalk, DecodingOptions, Turn, UnknownModel
from inference.reading.lines import TextLine
from tests.drawing import draw_meme
from tests.inference.hub_cache import (
    publish,
    save_bert,
    save_blip,
    save_encoder_decoder,
    save_llava,
    save_marian,
    save_qwen_vl,
)
from tests.readings import reading_of

pytestmark = pytest.mark.usefixtures("no_settings")

PICTURES = [draw_meme("caption_bar").convert("RGB"), draw_meme("photo").convert("RGB")]
GREEDY = DecodingOptions(strategy="greedy", max_tokens=12)
READ = reading_of([TextLine("КОГДА", (0, 0, 1, 0.1), 0.9, 0), TextLine("ДОМА", (0, 0.9, 1, 1), 0.9, 1)])
NOTHING = reading_of()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    publish(folder, "tiny/ved", save_encoder_decoder)
    publish(folder, "tiny/blip", save_blip)
    publish(folder, "tiny/llava", save_llava)
    publish(folder, "tiny/qwen", save_qwen_vl)
    publish(folder, "tiny/en-ru", save_marian)
    return folder


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HUB_PROMPT", "HUB_TRANSLATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def describers(cache: Path) -> Iterator[Callable[[str], hub.HubDescriber]]:
    made: dict[str, hub.HubDescriber] = {}

    def get(name: str) -> hub.HubDescriber:
        if name not in made:
            model = HubModel.parse(name)
            made[name] = hub.HubDescriber(model, find_snapshot(model, cache))
        return made[name]

    yield get


def snapshot(cache: Path, name: str) -> Path:
    (found,) = (cache / f"models--{name.replace('/', '--')}" / "snapshots").iterdir()
    return found


def plain(text: str) -> str:
    """A text without what makes a sentence of it."""
    return " ".join(text.split()).strip(" .").casefold()


# --- captioners ---


def directly(cache: Path, name: str, image: Any, **options: Any) -> str:
    folder = snapshot(cache, name)
    model = (
        VisionEncoderDecoderModel.from_pretrained(folder, dtype=torch.float32).eval()
        if name.endswith("ved")
        else BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    )
    pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt").pixel_values
    with torch.no_grad():
        tokens = model.generate(pixel_values=pixels, **options)
    return str(AutoTokenizer.from_pretrained(folder).decode(tokens[0], skip_special_tokens=True))


@pytest.mark.parametrize("name", ["tiny/ved", "tiny/blip"])
@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        (GREEDY, {"num_beams": 1, "max_new_tokens": 12}),
        (
            DecodingOptions(strategy="beam", beams=4, max_tokens=9, length_penalty=0.6),
            {"num_beams": 4, "max_new_tokens": 9, "length_penalty": 0.6},
        ),
        (
            DecodingOptions(
                strategy="sample", seed=7, temperature=1.7, top_k=20, top_p=0.9, max_tokens=12, min_tokens=8
            ),
            {
                "num_beams": 1,
                "do_sample": True,
                "temperature": 1.7,
                "top_k": 20,
                "top_p": 0.9,
                "max_new_tokens": 12,
                "min_new_tokens": 8,
            },
        ),
    ],
    ids=["greedy", "beam", "sample"],
)
def test_captions_are_those_of_transformers(
    cache: Path,
    describers: Callable[[str], hub.HubDescriber],
    name: str,
    options: DecodingOptions,
    theirs: dict[str, Any],
) -> None:
    texts, likelihoods = describers(name).describe(PICTURES, [NOTHING, NOTHING], options)
    for image, text, likelihood in zip(PICTURES, texts, likelihoods, strict=True):
        torch.manual_seed(7)
        assert plain(text) == plain(directly(cache, name, image, **theirs))
        assert likelihood < 0


def test_repetition_is_held_back_as_transformers_does(
    cache: Path, describers: Callable[[str], hub.HubDescriber]
) -> None:
    # BLIP begins with a token that it never says, so that the rules see the same here and there.
    options = replace(GREEDY, repetition_penalty=1.8, no_repeat_ngram=2)
    texts, _ = describers("tiny/blip").describe(PICTURES, [NOTHING, NOTHING], options)
    held = [
        directly(
            cache,
            "tiny/blip",
            image,
            num_beams=1,
            max_new_tokens=12,
            repetition_penalty=1.8,
            no_repeat_ngram_size=2,
        )
        for image in PICTURES
    ]
    assert [plain(text) for text in texts] == [plain(text) for text in held]
    assert texts != describers("tiny/blip").describe(PICTURES, [NOTHING, NOTHING], GREEDY)[0]


def test_the_rules_of_repetition_do_not_count_the_prompt() -> None:
    rules = hub._OwnTokens(DecodingOptions(no_repeat_ngram=1, repetition_penalty=2.0))
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert rules(torch.tensor([[0, 1]]), logits).tolist() == logits.tolist()
    assert rules(torch.tensor([[0, 1, 3]]), logits).tolist() == [[1.0, 2.0, 3.0, float("-inf")]]
    assert rules.prompt == 2


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_the_likelihood_is_that_of_the_tokens(
    cache: Path, describers: Callable[[str], hub.HubDescriber], strategy: Any
) -> None:
    options = DecodingOptions(strategy=strategy, beams=3, max_tokens=10, length_penalty=0.5)
    _, (likelihood,) = describers("tiny/ved").describe(PICTURES[:1], [NOTHING], options)
    folder = snapshot(cache, "tiny/ved")
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(PICTURES[0], return_tensors="pt").pixel_values
    beams = 3 if strategy == "beam" else 1
    with torch.no_grad():
        tokens = model.generate(pixels, num_beams=beams, max_new_tokens=10, length_penalty=0.5)
        logits = model(pixel_values=pixels, decoder_input_ids=tokens[:, :-1]).logits.log_softmax(-1)
    said = tokens[0, 1:]
    ends = (said == model.generation_config.eos_token_id).nonzero()
    said = said[: int(ends[0]) + 1] if len(ends) else said
    expected = logits[0, : len(said)].gather(1, said[:, None]).mean()
    assert likelihood == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("name", ["tiny/ved", "tiny/blip", "tiny/qwen"])
def test_a_batch_gets_what_each_picture_gets_alone(
    describers: Callable[[str], hub.HubDescriber], name: str
) -> None:
    for options in (GREEDY, DecodingOptions(strategy="sample", seed=3, max_tokens=8)):
        texts, likelihoods = describers(name).describe(PICTURES, [NOTHING, READ], options)
        for image, own, text, likelihood in zip(PICTURES, [NOTHING, READ], texts, likelihoods, strict=True):
            (alone,), (score,) = describers(name).describe([image], [own], options)
            assert alone == text
            assert score == pytest.approx(likelihood, abs=1e-4)


def test_a_captioners_own_settings_are_its_options(cache: Path) -> None:
    options = load_captioner("hf:tiny/ved", cache).options
    assert (options.strategy, options.beams, options.max_tokens) == ("beam", 3, 24)
    options = load_captioner("hf:tiny/qwen", cache).options
    assert (options.strategy, options.max_tokens, options.repetition_penalty) == ("greedy", 300, 1.05)


def test_the_words_read_stand_behind_a_caption(cache: Path) -> None:
    captioner = load_captioner("hf:tiny/ved", cache)
    captions = captioner.caption(PICTURES)
    for image, caption in zip(PICTURES, captions, strict=True):
        bare = plain(directly(cache, "tiny/ved", image, num_beams=3, max_new_tokens=24))
        assert plain(caption.text).startswith(bare)
        assert all(f"«{words}»" in caption.text for words in caption.words)
        assert (caption.model, caption.checkpoint) == ("hf:tiny/ved", snapshot(cache, "tiny/ved").name)
    assert captions[0].words
    assert ". Надпись сверху: «" in captions[0].text


def test_captions_are_translated(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    english = directly(cache, "tiny/blip", PICTURES[1], num_beams=1, max_new_tokens=12)
    (russian,) = Translator(HubModel("tiny/en-ru"), cache).translate([english])
    both = load_captioner("hf:tiny/blip+tiny/en-ru", cache)
    assert plain(both.caption(PICTURES[1:], GREEDY)[0].text) == plain(russian)
    alone = load_captioner("hf:tiny/blip", cache)
    assert plain(alone.caption(PICTURES[1:], GREEDY)[0].text) == plain(english)
    # Another text, so another checkpoint: an answer kept from before must not be given again.
    assert both.checkpoint.startswith(f"{alone.checkpoint}-")
    monkeypatch.setenv("HUB_TRANSLATION", "tiny/en-ru")
    assert load_captioner("hf:tiny/blip", cache).checkpoint == both.checkpoint


def test_weights_in_half_precision_are_computed_in_single(cache: Path, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        save_blip(folder)
        BlipForConditionalGeneration.from_pretrained(folder).half().save_pretrained(folder)

    publish(tmp_path, "tiny/half", save)
    captioner = load_captioner("hf:tiny/half", tmp_path)
    (caption,) = captioner.caption(PICTURES[1:], GREEDY)
    wanted = directly(tmp_path, "tiny/half", PICTURES[1], num_beams=1, max_new_tokens=12)
    assert plain(caption.text) == plain(wanted)


# --- chat models ---


@pytest.mark.parametrize("name", ["tiny/llava", "tiny/qwen"])
def test_chat_models_answer_as_in_transformers_own_pipeline(
    cache: Path, describers: Callable[[str], hub.HubDescriber], name: str
) -> None:
    describer = describers(name)
    texts, likelihoods = describer.describe(PICTURES, [NOTHING, READ], GREEDY)
    folder = snapshot(cache, name)
    ask: Callable[..., list[dict[str, str]]] = pipeline(
        "image-text-to-text",
        model=AutoModelForImageTextToText.from_pretrained(folder).eval(),
        processor=AutoProcessor.from_pretrained(folder),
    )
    prompts = Prompts.read()

    def told(image: Image.Image, talk: Generator[Conversation, str, str]) -> str:
        """What comes of a conversation with transformers' own pipeline."""
        messages = next(talk)
        while True:
            chat: list[dict[str, Any]] = [
                {"role": one.role, "content": [{"type": "text", "text": one.text}]} for one in messages
            ]
            chat[0]["content"].insert(0, {"type": "image", "image": image})
            (answer,) = ask(
                text=chat,
                return_full_text=False,
                max_new_tokens=12,
                generate_kwargs={"do_sample": False, "repetition_penalty": 1.0},
            )
            try:
                messages = talk.send(answer["generated_text"])
            except StopIteration as end:
                return str(end.value)

    for image, own, text in zip(PICTURES, [NOTHING, READ], texts, strict=True):
        assert text == told(image, carried_on(begun(own, None, GREEDY, prompts), GREEDY, prompts))
    assert all(likelihood < 0 for likelihood in likelihoods)
    asked = Asked("Кто?", (Turn("", "Кот."), Turn("Где?", "Там.")))
    answer = describer.answer(PICTURES[0], READ, asked, GREEDY)
    assert answer == told(PICTURES[0], carried_on(begun(READ, asked, GREEDY, prompts), GREEDY, prompts))
    assert answer != texts[0]


def test_a_prompt_of_the_operators_stands_for_ours(
    cache: Path, describers: Callable[[str], hub.HubDescriber]
) -> None:
    model = HubModel.parse("tiny/qwen")
    own = hub.HubDescriber(model, find_snapshot(model, cache), "Что здесь смешного?")
    described = describers("tiny/qwen").describe(PICTURES[:1], [NOTHING], GREEDY)
    assert own.describe(PICTURES[:1], [NOTHING], GREEDY) != described


def test_which_models_of_the_hub_talk_is_told_without_loading_them(cache: Path) -> None:
    found = {name: model_info(cache, ModelName.parse(f"hf:tiny/{name}")) for name in ("ved", "qwen")}
    assert {name: (model.talks, model.languages) for name, model in found.items()} == {
        "ved": (False, ("ru",)),
        "qwen": (True, ("ru", "en", "uk")),
    }
    for name, model in found.items():
        captioner = load_captioner(f"hf:tiny/{name}", cache)
        (caption,) = captioner.caption(PICTURES[:1], replace(GREEDY, language="uk"))
        assert caption.options.language == ("uk" if model.talks else "ru")
        if model.talks:
            assert captioner.ask(PICTURES[0], Asked("Кто?"), GREEDY).model == f"hf:tiny/{name}"
        else:
            with pytest.raises(CannotTalk):
                captioner.ask(PICTURES[0], Asked("Кто?"), GREEDY)


def test_a_prompt_comes_from_the_environment_or_the_env_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit = load_captioner("hf:tiny/blip", cache).checkpoint
    (tmp_path / ".env").write_text("HUB_PROMPT=a man in\n")
    prompted = load_captioner("hf:tiny/blip", cache)
    assert prompted.checkpoint.startswith(f"{commit}-")
    folder = snapshot(cache, "tiny/blip")
    inputs = AutoProcessor.from_pretrained(folder)(images=PICTURES[1], text="a man in", return_tensors="pt")
    tokens = BlipForConditionalGeneration.from_pretrained(folder).eval().generate(**inputs, max_new_tokens=12)
    whole = AutoTokenizer.from_pretrained(folder).decode(tokens[0], skip_special_tokens=True)
    assert plain(f"a man in {prompted.caption(PICTURES[1:], GREEDY)[0].text}") == plain(str(whole))
    monkeypatch.setenv("HUB_PROMPT", "two dogs")
    assert load_captioner("hf:tiny/blip", cache).checkpoint != prompted.checkpoint
    load_captioner("hf:tiny/ved", cache)
    assert "tiny/ved takes no prompt" in caplog.text


def test_a_model_that_wants_a_text_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(folder: Path) -> None:
        save_llava(folder)
        (folder / "chat_template.jinja").unlink()

    publish(tmp_path, "tiny/no-chat", save)
    with pytest.raises(HubError, match=r"wants a text with a picture .*: set HUB_PROMPT"):
        load_captioner("hf:tiny/no-chat", tmp_path).caption(PICTURES[:1], GREEDY)
    monkeypatch.setenv("HUB_PROMPT", "<image> caption ru")
    (caption,) = load_captioner("hf:tiny/no-chat", tmp_path).caption(PICTURES[1:], GREEDY)
    assert caption.text
    assert "caption ru" not in caption.text


# --- what cannot be loaded ---


def test_other_models_and_code_of_their_own_are_refused(cache: Path, tmp_path: Path) -> None:
    publish(tmp_path, "tiny/bert", save_bert)
    with pytest.raises(HubError, match="of the kind 'bert', which describes no pictures"):
        load_captioner("hf:tiny/bert", tmp_path)

    trap = tmp_path / "run"

    def save_code(folder: Path) -> None:
        save_blip(folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "configuration_made_up.MadeUp"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "configuration_made_up.py").write_text(
            f"import pathlib; pathlib.Path({str(trap)!r}).touch()"
        )

    publish(tmp_path, "tiny/code", save_code)
    with pytest.raises(HubError, match="brings code of its own, which is not run here"):
        load_captioner("hf:tiny/code", tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_damaged_files_are_one_sentence(tmp_path: Path, damage: str) -> None:
    def save(folder: Path) -> None:
        save_blip(folder)
        (folder / damage).write_text("{")

    publish(tmp_path, "tiny/damaged", save)
    with pytest.raises(HubError, match=r"tiny/damaged cannot be loaded .*: get it anew") as caught:
        load_captioner("hf:tiny/damaged", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_here_says_what_to_do(cache: Path, offline: None) -> None:
    with pytest.raises(UnknownModel, match=r"not on this machine: .*python -m inference pull hf:tiny/none"):
        load_captioner("hf:tiny/none", cache)
    with pytest.raises(UnknownModel, match=r"pull hf:tiny/none"):
        load_captioner("hf:tiny/blip+tiny/none", cache)
