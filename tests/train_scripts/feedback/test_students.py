"""What each architecture learns from, and that the shipped one gets the words it lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference.captioners.building import build, make_tokenizer
from inference.captioners.meme_small.describer import SlotDescriber
from inference.captioners.meme_small.memory import SlotMemory
from inference.checkpoints import manifest
from inference.checkpoints.config import CheckpointConfig, Lineage
from inference.checkpoints.folder import WEIGHTS_FILE
from inference.checkpoints.format import CheckpointError, read_config, read_training
from inference.checkpoints.modules import save_checkpoint
from inference.common.errors import UserError
from inference.common.types import DecodingOptions
from inference.presets.preset import preset
from inference.reading.lines import TextLine
from tests.inference.learning import CAPTIONS, calibrate, pictures, tiny
from tests.readings import reading_of
from train_scripts.feedback import students
from train_scripts.feedback.finetune import Material, Options, Preferred, Weighted, finetune, margins
from train_scripts.feedback.judge import Judge
from train_scripts.feedback.pictures import Picture
from train_scripts.feedback.students import SlotStudent, load_student
from train_scripts.meme_small.networks import TorchParts, as_tensors, learning_parts

SHIPPED = Path(__file__).resolve().parents[3] / "checkpoints" / "meme-small"
READ = reading_of([TextLine("КОТ У ОКНА", (0.1, 0.1, 0.9, 0.2), 0.9, 0)])
UNKNOWN_WORDS = 'Дикобраз и гиппопотам, рядом Шлёпохвост. Ещё дикобраз. Надпись: "Гиперболоид".'


@pytest.fixture(scope="module")
def taught() -> SlotStudent:
    """The shipped model with the words of a correction that it lacked."""
    student = load_student(SHIPPED, [UNKNOWN_WORDS])
    assert isinstance(student, SlotStudent)
    return student


def test_new_words_are_those_of_the_dictionary_outside_quotes(taught: SlotStudent) -> None:
    assert taught.new_words == ("гиппопотам", "дикобраз")
    tokenizer = taught.model.tokenizer
    assert {"гиппопотам", "дикобраз"} <= set(taught.model.concepts)
    assert taught.model.word_concepts[tokenizer.id("дикобраз")] == taught.model.concepts.index("дикобраз")


def test_a_word_of_two_corrections_may_be_a_name() -> None:
    student = load_student(SHIPPED, ["Это Шлёпохвост.", "Снова Шлёпохвост."])
    assert isinstance(student, SlotStudent)
    assert student.new_words == ("шлёпохвост",)
    assert student.model.tokenizer.casing["шлёпохвост"] == "Шлёпохвост"


def test_growing_changes_nothing_that_was_known(taught: SlotStudent) -> None:
    describer = SlotDescriber.load(SHIPPED, read_config(SHIPPED), parts=learning_parts)
    parent, image = describer.model, pictures()[0]
    assert isinstance(parent.parts, TorchParts)
    memory, probabilities = parent.memory([image], [READ])
    tokens = torch.tensor([[parent.tokenizer.levels[0], *parent.tokenizer.encode_words("на фото кот")]])
    with torch.no_grad():
        logits = parent.parts.network.decoder(as_tensors(memory), tokens)
        # New concepts are average ones too: none of them is among the likeliest.
        larger, more = taught.model.memory([image], [READ])
        grown = taught.module.decoder(as_tensors(larger), tokens)
    known, lines = len(parent.tokenizer), logits.shape[2] - len(parent.tokenizer)
    torch.testing.assert_close(grown[..., :known], logits[..., :known], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grown[..., -lines:], logits[..., -lines:], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(more[:, : probabilities.shape[1]], probabilities, rtol=1e-4, atol=1e-4)
    # A new word is an average one: it does not stand out before it was learnt.
    assert grown[..., known:-lines].max() < logits[..., :known].max()


def test_a_grown_student_is_saved_whole(taught: SlotStudent, tmp_path: Path) -> None:
    taught.save(tmp_path / "child", Lineage("x", "2026-01-01"))
    child = tmp_path / "child"
    loaded = SlotDescriber.load(child, read_config(child), parts=learning_parts).model
    assert isinstance(loaded.parts, TorchParts)
    assert loaded.tokenizer.words == taught.model.tokenizer.words
    assert loaded.concepts == taught.model.concepts
    record = read_training(tmp_path / "child")
    assert record.lineage == Lineage("x", "2026-01-01")
    assert record.training == read_training(SHIPPED).training
    assert record.scores == {}, "those of the parent"
    assert manifest.mismatch(tmp_path / "child") == ""
    for name, tensor in taught.module.state_dict().items():
        torch.testing.assert_close(
            loaded.parts.network.state_dict()[name], tensor, rtol=1e-2, atol=1e-3
        )  # float16


def test_a_correction_may_say_what_the_parent_does_not_see(taught: SlotStudent) -> None:
    seen = taught.see(pictures()[0], READ)
    tokenizer = taught.model.tokenizer

    def words(kind: students.Kind) -> str:
        example = taught.example(seen, 'На картинке дикобраз. Надпись: "Кот у окна".', kind)
        assert example is not None
        return tokenizer.decode(example.target.ids, READ.lines)

    assert words("correction") == 'На картинке дикобраз. Надпись: "КОТ У ОКНА".'
    assert "дикобраз" not in words("caption"), "what its own sentences cannot say is no preference"
    assert "дикобраз" not in words("original"), "a describer saw more than the model can"
    assert taught.example(seen, "Ъъъ ыыы.", "correction") is None


def test_the_decoder_learns_what_the_detectors_support_by_now(taught: SlotStudent) -> None:
    tokenizer = taught.model.tokenizer
    seen = taught.see(pictures()[0], READ)
    example = taught.example(seen, 'На картинке дикобраз. Надпись: "Кот у окна".', "correction")
    lone = taught.example(seen, "Дикобраз.", "correction")
    assert example is not None
    assert lone is not None

    def told(one: students.Example, probable: float) -> str:
        probabilities = torch.zeros(len(taught.model.concepts))
        probabilities[taught.model.concepts.index("дикобраз")] = probable
        start, *ids = taught._tokens(one.target, probabilities)
        assert start in tokenizer.levels
        return tokenizer.decode(ids, READ.lines)

    assert "дикобраз" not in told(example, 0.4)
    assert '"КОТ У ОКНА"' in told(example, 0.4)
    assert told(example, 0.6) == 'На картинке дикобраз. Надпись: "КОТ У ОКНА".'
    # Where nothing can be said yet, nothing is learnt of the words, but what is to be seen is.
    with torch.no_grad():
        scores = taught.score([lone])
    assert (float(scores.likelihood), int(scores.tokens)) == (0.0, 0)
    assert float(scores.beside) > 0


def test_what_a_correction_leaves_unsaid_stays_as_probable_as_it_was(taught: SlotStudent) -> None:
    seen = taught.see(pictures()[0], READ)
    before = seen.memory.probabilities[0]
    before[:3] = torch.tensor([0.9, 0.2, 0.05])  # sure of one, would tell of the next, hardly sees the third
    example = taught.example(seen, "На картинке дикобраз.", "correction")
    assert example is not None
    labels = example.target.labels
    assert labels[taught.model.concepts.index("дикобраз")] == 1
    assert labels[:3].tolist() == [0.0, 0.0, pytest.approx(0.05)]
    rest = (before < 0.05) & (labels < 1)
    assert torch.equal(labels[rest], before[rest])


def test_memories_are_padded_to_the_largest() -> None:
    def memory(lines: int) -> SlotMemory[torch.Tensor]:
        ones = torch.ones(1, lines, 3)
        shown = torch.ones(1, 5)
        mask = torch.ones(1, lines, dtype=torch.bool)
        return SlotMemory(shown.long(), shown, torch.ones(1, 2), ones, ones.long(), mask)

    whole = students._stack([memory(0), memory(2), memory(1)])
    assert whole.concepts.shape == (3, 5)
    assert whole.layout.shape == (3, 2)
    assert whole.line_features.shape == (3, 2, 3)
    assert whole.line_mask.tolist() == [[False, False], [True, True], [True, False]]
    grids = (torch.ones(1, 4), torch.zeros(1, 2, 2))
    assert [one.shape for one in students._stack([grids, grids])] == [(2, 4), (2, 2, 2)]


def test_another_architecture_does_not_learn_here(tmp_path: Path) -> None:
    config = CheckpointConfig("coco-objects", {}, {}, DecodingOptions())
    save_checkpoint(tmp_path / "odd", nn.Linear(1, 1), config)
    with pytest.raises(UserError, match=r"'coco-objects', which cannot learn .* meme-small or encoder-de"):
        load_student(tmp_path / "odd")
    save_checkpoint(tmp_path / "odd", nn.Linear(1, 1), replace(config, architecture="meme-small"))
    with pytest.raises(CheckpointError, match="get the checkpoint anew"):
        load_student(tmp_path / "odd")


# --- a preset, which also shows what the loss does ---


@pytest.fixture
def preset_folder(tmp_path: Path) -> Path:
    """A small twin of the lightest preset, of random weights."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(preset("mobilenet-soft-attention"), CAPTIONS)
    model = build(tiny("mobilenet-soft-attention"), tokenizer=tokenizer)
    calibrate(model.encoder, model.encoder.pixels(pictures()))
    model.save(tmp_path / "parent", preset("mobilenet-soft-attention").options)
    return tmp_path / "parent"


def judge(folder: Path, corrections: dict[str, str]) -> Judge:
    """Val is what the parent says anyway: nothing there can be called worse."""
    own = []
    for number, image in enumerate(pictures()):
        image.save(folder / f"{number}.png")
        own.append(Picture(f"{number}.png", folder / f"{number}.png", reading_of()))
    references = {one.name: CAPTIONS[i] for i, one in enumerate(own[4:], start=4)}
    found = Judge("meteor", own[4:], references, own[:2], corrections)
    found.parent_val = dict.fromkeys(references, "")
    found.parent_feedback = dict.fromkeys(corrections, "")
    return found


def test_a_preset_learns_corrections_and_preferences(preset_folder: Path, tmp_path: Path) -> None:
    student = load_student(preset_folder)
    seen = [student.see(image, reading_of()) for image in pictures()]
    corrections = {"0.png": CAPTIONS[0], "1.png": CAPTIONS[3]}

    def example(number: int, text: str) -> students.Example:
        found = student.example(seen[number], text, "correction")
        assert found is not None
        return found

    both = [
        (example(2, CAPTIONS[2]), example(2, CAPTIONS[5])),
        (example(3, CAPTIONS[5]), example(3, CAPTIONS[2])),
    ]
    before = margins(student, both)
    material = Material(
        [Weighted(example(i, text), 1.0) for i, text in enumerate(corrections.values())],
        [Preferred(better, worse, 1.0, m) for (better, worse), m in zip(both, before, strict=True)],
        [Weighted(example(4, CAPTIONS[4]), 1.0)],
    )
    encoder = student.module.get_submodule("encoder")
    frozen = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    options = Options(epochs=24, rate=1e-2, batch=1, replay=1, preference=1.0, patience=4)
    outcome = finetune(student, material, judge(tmp_path, corrections), options, say=lambda _: None)
    assert outcome.verdict.nearness > 0.9
    assert outcome.verdict.feedback["0.png"] == CAPTIONS[0]
    assert all(after > m for after, m in zip(margins(student, both), before, strict=True))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, frozen[name]), "the encoder is frozen"
    student.save(tmp_path / "child", Lineage(None, "2026-01-01"))
    assert (tmp_path / "child" / WEIGHTS_FILE).stat().st_size == (preset_folder / WEIGHTS_FILE).stat().st_size
    again = load_student(tmp_path / "child")
    assert again.captions([pictures()[0]], [reading_of()]) == [CAPTIONS[0]]


def test_what_gets_worse_on_val_is_not_kept(preset_folder: Path, tmp_path: Path) -> None:
    student = load_student(preset_folder)
    seen = student.see(pictures()[0], reading_of())
    example = student.example(seen, CAPTIONS[0], "correction")
    assert example is not None
    strict = judge(tmp_path, {"0.png": CAPTIONS[0], "1.png": CAPTIONS[1]})
    strict.parent_val = dict(strict.references)  # a parent that is always right
    with pytest.raises(UserError, match=r"worse on val \(METEOR.*smaller --rate or a larger --replay"):
        finetune(
            student,
            Material([Weighted(example, 1.0)], [], []),
            strict,
            Options(epochs=2, rate=1e-2),
            say=lambda _: None,
        )
