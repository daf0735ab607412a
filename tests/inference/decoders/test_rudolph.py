"""RuDOLPH: its masks entry by entry, and an independent forward pass over weights in the original's names."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from inference.checkpoints.weight_files.state import ImportFailed
from inference.common.types import DecodingOptions
from inference.decoders.base import IGNORED, build_decoder
from inference.decoders.rudolph import BOS, EOS, Kind, RudolphConfig, RudolphDecoder, layer_kind, layer_mask
from inference.decoders.torch_decoder import TorchDecoder
from inference.decoding.processors import Forbid
from inference.decoding.search import generate
from inference.importers.rudolph import import_rudolph, is_rudolph

State = dict[str, Tensor]
LEFT, RIGHT, SIDE, WIDTH, LAYERS, WORDS = 4, 4, 3, 64, 6, 20

# What each of the nine picture places sees of the picture: x itself and those marked o, as drawn by hand.
ROW = ["x..", "ox.", "oox", "ooo x..", ".oo ox.", "..o oox", "... ooo x..", "... .oo ox.", "... ..o oox"]
COLUMN = ["x..", ".x.", "..x", "o.. x..", ".o. .x.", "..o ..x", "o.. o.. x..", ".o. .o. .x.", "..o ..o ..x"]
WINDOW = ["x..", "ox.", ".ox", "oo. x..", "ooo ox.", ".oo .ox", "... oo. x..", "... ooo ox.", "... .oo .ox"]


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [("row", ROW), ("column", COLUMN), ("convolution", WINDOW)],
    ids=["row", "column", "3x3"],
)
def test_a_mask_is_right_entry_by_entry(kind: Kind, drawn: list[str]) -> None:
    config = RudolphConfig(left=2, right=3, side=3)
    mask = layer_mask(kind, config, kernel=3)
    assert mask.shape == (14, 14)
    for asks in range(14):
        for seen in range(14):
            expected = seen <= asks
            if 2 <= asks < 11 and 2 <= seen < 11:
                signs = drawn[asks - 2].replace(" ", "").ljust(9, ".")
                expected = signs[seen - 2] in "xo"
            assert bool(mask[asks, seen]) == expected, (kind, asks, seen)


def test_a_wide_window_is_cut_off_at_the_edges() -> None:
    config = RudolphConfig(left=1, right=1, side=4)
    mask = layer_mask("convolution", config, kernel=5)[1:-1, 1:-1]
    for asks in range(16):
        for seen in range(16):
            near = abs(asks // 4 - seen // 4) <= 2 and abs(asks % 4 - seen % 4) <= 2
            assert bool(mask[asks, seen]) == (near and seen <= asks)


def test_the_kinds_of_the_24_layers() -> None:
    kinds = [layer_kind(i, 24) for i in range(24)]
    assert [kind for kind, _ in kinds[:4]] == ["row", "column", "row", "convolution"]
    assert kinds[:4] * 5 == kinds[:20]
    assert kinds[23] == ("convolution", True)
    assert sum(last for _, last in kinds) == 1


def original_state(extra: int) -> State:
    """Random weights in the original's names; ``extra`` special words and codes make the second edition."""
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.15

    vocabulary, codes = WORDS + extra + LEFT, 16 + extra
    state: State = {
        "text_embeddings.weight": draw(vocabulary, WIDTH) * 4,
        "image_embeddings.weight": draw(codes, WIDTH) * 4,
        "l_text_pos_embeddings.weight": draw(LEFT + 1, WIDTH),
        "r_text_pos_embeddings.weight": draw(RIGHT + 1, WIDTH),
        "image_row_embeddings.weight": draw(SIDE, WIDTH),
        "image_col_embeddings.weight": draw(SIDE, WIDTH),
        "to_logits.0.weight": 1 + draw(WIDTH),
        "to_logits.0.bias": draw(WIDTH),
        "to_logits.1.weight": draw(vocabulary + codes, WIDTH),
        "to_logits.1.bias": draw(vocabulary + codes),
        "transformer.final_layernorm.weight": 1 + draw(WIDTH),
        "transformer.final_layernorm.bias": draw(WIDTH),
    }
    for i in range(LAYERS):
        layer = f"transformer.layers.{i}."
        for norm in (
            "input_layernorm",
            "before_first_addition_layernorm",
            "before_second_addition_layernorm",
            "post_attention_layernorm",
        ):
            state[layer + norm + ".weight"] = 1 + draw(WIDTH)
            state[layer + norm + ".bias"] = draw(WIDTH)
        for name, entry, out in (
            ("attention.query_key_value", WIDTH, 3 * WIDTH),
            ("attention.dense", WIDTH, WIDTH),
            ("mlp.dense_h_to_4h", WIDTH, 4 * WIDTH),
            ("mlp.dense_4h_to_h", 4 * WIDTH, WIDTH),
        ):
            state[layer + name + ".weight"] = draw(out, entry)
            state[layer + name + ".bias"] = draw(out)
    config = RudolphConfig(left=LEFT, right=RIGHT, side=SIDE)
    masks: list[tuple[str, Kind, int]] = [
        ("row_mask", "row", 0),
        ("col_mask", "column", 0),
        ("conv_mask", "convolution", 3),
        ("last_conv_mask", "convolution", 5),
    ]
    for name, kind, kernel in masks:
        state[f"transformer.{name}"] = layer_mask(kind, config, kernel).float()
    return state


def norm(x: Tensor, state: State, name: str) -> Tensor:
    return layer_norm(x, (WIDTH,), state[name + ".weight"], state[name + ".bias"])


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[name + ".weight"].T + state[name + ".bias"]


def original_forward(state: State, left: list[int], codes: list[int], right: list[int]) -> Tensor:
    """One picture: logits (t, vocabulary + codes)."""
    vocabulary = len(state["text_embeddings.weight"])
    rows = []
    for i, token in enumerate(left):
        word = token if token else vocabulary - LEFT + i
        rows.append(state["text_embeddings.weight"][word] + state["l_text_pos_embeddings.weight"][i])
    for i, code in enumerate(codes):
        place = (
            state["image_row_embeddings.weight"][i // SIDE] + state["image_col_embeddings.weight"][i % SIDE]
        )
        rows.append(state["image_embeddings.weight"][code] + place)
    for i, token in enumerate(right):
        rows.append(state["text_embeddings.weight"][token] + state["r_text_pos_embeddings.weight"][i])
    x = torch.stack(rows)
    for i in range(LAYERS):
        layer = f"transformer.layers.{i}."
        name = "row_mask"
        if i % 4 == 1:
            name = "col_mask"
        elif i == LAYERS - 1:
            name = "last_conv_mask"
        elif i % 4 == 3:
            name = "conv_mask"
        mask = state[f"transformer.{name}"][: len(x), : len(x)]
        q, k, v = linear(
            norm(x, state, layer + "input_layernorm"), state, layer + "attention.query_key_value"
        ).split(WIDTH, 1)
        scores = q @ k.T / math.sqrt(WIDTH)  # one head of 64
        mixed = (scores * mask - 10_000 * (1 - mask)).softmax(1) @ v
        y = linear(mixed, state, layer + "attention.dense")
        x = x + norm(y, state, layer + "before_first_addition_layernorm")
        y = linear(norm(x, state, layer + "post_attention_layernorm"), state, layer + "mlp.dense_h_to_4h")
        y = 0.5 * y * (1 + torch.tanh(0.7978845608028654 * y * (1 + 0.044715 * y * y)))
        y = linear(y, state, layer + "mlp.dense_4h_to_h")
        x = x + norm(y, state, layer + "before_second_addition_layernorm")
    x = norm(norm(x, state, "transformer.final_layernorm"), state, "to_logits.0")
    return linear(x, state, "to_logits.1")


def imported(tmp_path: Path, extra: int) -> tuple[State, RudolphDecoder]:
    state = original_state(extra)
    assert is_rudolph(state)
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path)
    decoder, special = import_rudolph(path)
    assert special.bos == (WORDS + 5 if extra else BOS)
    assert special.eos == EOS
    assert decoder.config.kernel == 3
    assert decoder.config.last_kernel == 5
    return state, decoder


CODES = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [15, 0, 0, 7, 7, 7, 12, 1, 2]]


@pytest.mark.parametrize("extra", [0, 6], ids=["first edition", "second edition"])
@torch.no_grad()
def test_logits_equal_the_independent_forward_pass(extra: int, tmp_path: Path) -> None:
    state, decoder = imported(tmp_path, extra)
    lefts = [[BOS, 8, EOS, 0], [0, 0, 0, 0]]
    rights = [[BOS, 7, 9, EOS], [BOS, 11, EOS, 0]]
    logits = decoder.sequence(torch.tensor(lefts), torch.tensor(CODES), torch.tensor(rights))
    for i in range(2):
        expected = original_forward(state, lefts[i], CODES[i], rights[i])
        torch.testing.assert_close(logits[i], expected, atol=1e-5, rtol=1e-5)

    # As a captioner: the original's own prompts, then the words, one by one.
    prompt = [BOS, WORDS + 3, EOS, 0] if extra else [0, 0, 0, 0]
    before = [BOS] if extra else []
    words = [WORDS + 5, 7, 9] if extra else [BOS, 7, 9, 11]
    spoken = decoder(torch.tensor(CODES), torch.tensor([words] * 2))
    caption_state = decoder.start(torch.tensor(CODES))
    for t, token in enumerate(words):
        stepped, caption_state = decoder.step(caption_state, torch.tensor([token] * 2))
        for i in range(2):
            expected = original_forward(state, prompt, CODES[i], [*before, *words[: t + 1]])[-1]
            torch.testing.assert_close(stepped[i], expected[: WORDS + extra], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(spoken[:, t], stepped, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("extra", [0, 6], ids=["first edition", "second edition"])
@torch.no_grad()
def test_captions_are_ranked_by_the_likelihood_of_the_picture(extra: int, tmp_path: Path) -> None:
    state, decoder = imported(tmp_path, extra)
    captions = [[BOS, 8, EOS, 0], [BOS, 9, 10, EOS]]
    fits = decoder.fit(torch.tensor(captions), torch.tensor([CODES[0]] * 2))
    for caption, fit in zip(captions, fits.tolist(), strict=True):
        logits = original_forward(state, caption, CODES[0], [])[LEFT:-1, WORDS + extra + LEFT :]
        logits = logits[:, :16].log_softmax(1)  # the second edition's special tokens are no codes
        expected = sum(float(logits[i, code]) for i, code in enumerate(CODES[0][1:])) / 8
        assert fit == pytest.approx(expected, abs=1e-5)


def test_the_losses_count_no_padding_and_no_code_as_a_word(tmp_path: Path) -> None:
    state, decoder = imported(tmp_path, 0)
    left, right = torch.tensor([[0, 0, 0, 0]]), torch.tensor([[BOS, 7, EOS, 0]])
    codes, targets = torch.tensor(CODES[:1]), torch.tensor([[7, EOS, IGNORED, IGNORED]])
    losses = decoder.losses(left, codes, right, targets)
    logits = original_forward(state, left[0].tolist(), CODES[0], right[0].tolist())
    words = logits[:, : WORDS + LEFT].log_softmax(1)
    drawn = logits[:, WORDS + LEFT :].log_softmax(1)
    expected = (
        -sum(float(words[i, WORDS + i + 1]) for i in range(3)) / 3,
        -sum(float(drawn[LEFT + i, code]) for i, code in enumerate(CODES[0][1:])) / 8,
        -(float(words[LEFT + 9, 7]) + float(words[LEFT + 10, EOS])) / 2,
    )
    assert [float(loss.detach()) for loss in losses] == pytest.approx(expected, abs=1e-5)
    weighted = (0.01 * expected[0] + 1 * expected[1] + 7 * expected[2]) / 8.01
    assert float(decoder.loss(codes, right, targets).detach()) == pytest.approx(weighted, abs=1e-5)
    # A left text of its own changes what is seen and what is learned.
    read = torch.tensor([[BOS, 9, EOS, 0]])
    others = decoder.losses(read, codes, right, targets)
    torch.testing.assert_close(
        decoder.loss((codes, read), right, targets),
        (0.01 * others[0] + others[1] + 7 * others[2]) / 8.01,
    )
    logits = original_forward(state, read[0].tolist(), CODES[0], [BOS, 7])
    torch.testing.assert_close(
        decoder((codes, read), right)[0, 1].detach(), logits[-1, :WORDS], atol=1e-5, rtol=1e-5
    )


def test_attention_and_mlp_are_frozen_as_when_it_was_tuned_on_memes(tmp_path: Path) -> None:
    _, decoder = imported(tmp_path, 0)
    trained = {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    assert not any(".attention." in name or ".mlp." in name for name in trained)
    assert {
        "text_embeddings.weight",
        "to_logits.1.weight",
        "transformer.layers.0.input_layernorm.bias",
    } <= trained
    free = RudolphConfig(
        left=2, right=2, side=2, width=64, layers=2, heads=1, train_attention=True, train_mlp=True
    )
    assert all(parameter.requires_grad for parameter in RudolphDecoder(free).parameters())


def test_a_batch_gives_what_single_calls_give(tmp_path: Path) -> None:
    _, decoder = imported(tmp_path, 6)
    memory = torch.tensor(CODES)
    for strategy in ("greedy", "beam", "sample"):
        options = DecodingOptions(strategy=strategy, max_tokens=3, seed=5)
        together = generate(TorchDecoder(decoder), memory, options, bos=WORDS + 5, eos=EOS, pad=0)
        alone = [
            generate(TorchDecoder(decoder), memory[i : i + 1], options, bos=WORDS + 5, eos=EOS, pad=0)
            for i in range(2)
        ]
        assert [found.tokens[0] for found in alone] == together.tokens
    with pytest.raises(ValueError, match="has 5 places, RuDOLPH has 4 for it: lower max_tokens"):
        generate(
            TorchDecoder(decoder),
            memory,
            DecodingOptions("greedy", max_tokens=5),
            bos=WORDS + 5,
            eos=-1,
            pad=0,
        )
    with pytest.raises(TypeError, match="needs 9 codes a picture"):
        decoder.start(torch.zeros(1, 4, dtype=torch.long))


def test_a_special_token_ends_the_second_editions_sentence(tmp_path: Path) -> None:
    """As its package has it: what is drawn from behind the words becomes the end."""
    extra = 6
    state, decoder = imported(tmp_path, extra)
    special = import_rudolph(tmp_path / "pytorch_model.bin")[1]
    assert special.ends == tuple(range(WORDS, WORDS + extra))
    left = [BOS, WORDS + 3, EOS, 0]
    stopped = 0
    for codes in torch.randint(0, 16, (12, SIDE**2), generator=torch.Generator().manual_seed(1)).tolist():
        right, expected = [BOS, WORDS + 5], []
        while len(right) < RIGHT:
            logits = original_forward(state, left, codes, right)[-1, : WORDS + extra]
            logits[[0, 1, BOS]] = -torch.inf  # ours says no padding, which the package leaves out afterwards
            token = int(logits.argmax())
            stopped += token >= WORDS
            if token >= WORDS or token == EOS:
                break
            right.append(token)
            expected.append(token)
        found = generate(
            TorchDecoder(decoder),
            torch.tensor([codes]),
            DecodingOptions("greedy", max_tokens=RIGHT - 2),
            bos=special.bos,
            eos=special.eos,
            pad=special.pad,
            ends=special.ends,
            processors=[Forbid(special.forbidden)],
        )
        assert found.tokens == [expected]
    assert stopped


def test_its_settings_build_its_like_and_other_files_are_refused(tmp_path: Path) -> None:
    state, decoder = imported(tmp_path, 6)
    again = build_decoder(decoder.settings)
    again.load_state_dict(decoder.state_dict())
    path = tmp_path / "other.bin"
    for change, sentence in (
        ({"transformer.row_mask": torch.zeros(17, 17)}, "has a row_mask of another kind"),
        ({"transformer.conv_mask": torch.zeros(17, 17)}, "conv_mask is no convolution mask"),
        ({"to_logits.1.bias": torch.zeros(3)}, "does not fit the RuDOLPH model"),
    ):
        torch.save({**state, **change}, path)
        with pytest.raises(ImportFailed, match=sentence):
            import_rudolph(path)
    # No shape tells the heads: they are named where they are not 64 wide.
    torch.save(state, path)
    assert import_rudolph(path, heads=2)[0].config.heads == 2
    with pytest.raises(ImportFailed, match="which 5 attention heads do not divide"):
        import_rudolph(path, heads=5)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(ImportFailed, match="This is no RuDOLPH model"):
        import_rudolph(path)


@pytest.mark.parametrize(("vocabulary", "codes"), [(16448, 8192), (16832, 8576)])
def test_the_originals_full_size_fits_their_files(vocabulary: int, codes: int) -> None:
    with torch.device("meta"):
        decoder = RudolphDecoder(RudolphConfig(vocabulary=vocabulary, codes=codes))
    shapes = {name: tuple(value.shape) for name, value in decoder.state_dict().items()}
    assert shapes["to_logits.1.weight"] == (vocabulary + codes, 1024)
    assert shapes["transformer.row_mask"] == (384, 384)
    assert decoder.vocabulary == vocabulary - 64
    assert 330e6 < sum(parameter.numel() for parameter in decoder.parameters()) < 370e6
