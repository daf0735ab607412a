"""The reader of youtokentome models against merges worked out by hand and against brute force."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from inference.tokenizers.base import load_tokenizer
from inference.tokenizers.youtokentome import YouTokenToMe

# ids: 0 pad, 1 unk, 2 bos, 3 eos, then characters, then merges
CHARS = {"▁": 4, "к": 5, "о": 6, "т": 7, "м": 8, "е": 9}
RULES = [(5, 6, 10), (10, 7, 11), (4, 11, 12), (4, 8, 13), (6, 7, 14), (9, 8, 15), (13, 15, 16)]
# к+о=ко, ко+т=кот, ▁+кот, ▁+м, о+т=от, е+м=ем, ▁м+ем=▁мем


def write(path: Path, rules: list[tuple[int, int, int]] = RULES) -> Path:
    lines = [f"{len(CHARS)} {len(rules)}"]
    lines += [f"{ord(char)} {token}" for char, token in CHARS.items()]
    lines += [f"{x} {y} {z}" for x, y, z in rules]
    path.write_text("\n".join([*lines, "1 0 2 3"]) + "\n", encoding="ascii")
    return path


@pytest.fixture
def bpe(tmp_path: Path) -> YouTokenToMe:
    return YouTokenToMe(write(tmp_path / "bpe.model"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("кот", [12]),
        ("мем", [16]),
        ("кот мем", [12, 16]),
        ("  кот \n\t мем  ", [12, 16]),
        ("▁кот", [12]),
        ("от", [4, 14]),
        ("тко", [4, 7, 10]),
        ("коткот", [12, 11]),
        ("кокот", [4, 10, 11]),
        ("мемм", [16, 8]),
        ("", []),
        ("   ", []),
        ("xyz", [4, 1]),
        ("котxyzмем", [12, 1, 8, 15]),
        ("x к", [4, 1, 4, 5]),
        ("кxyт", [4, 5, 1, 7]),
        ("Кот МЕМ", [12, 16]),
        ("ко\u00a0т", [4, 10, 1, 7]),  # a no-break space is a character, as in C's isspace
    ],
)
def test_the_lowest_rank_merges_first_and_unknown_runs_collapse(
    bpe: YouTokenToMe, text: str, ids: list[int]
) -> None:
    assert bpe.encode(text) == ids


def test_decoding_gives_the_words_back(bpe: YouTokenToMe) -> None:
    assert bpe.decode([2, 12, 16, 3, 0, 0]) == "кот мем"
    assert bpe.decode([10, 7, 13, 9]) == "кот ме"
    assert bpe.decode([12, 1, 16]) == "кот мем"
    assert bpe.decode([12, 1, 3], ignore=[3]) == "кот<UNK>"
    assert bpe.decode([]) == ""
    for text in ("кот мем", "мем", "о мем тотем"):
        assert bpe.decode(bpe.encode(text)) == text
    with pytest.raises(ValueError, match="has 17 tokens, none of them is 99"):
        bpe.decode([99])


def test_case_is_kept_on_request(tmp_path: Path) -> None:
    exact = YouTokenToMe(write(tmp_path / "bpe.model"), lower=False)
    assert exact.encode("Кот") == [4, 1, 14]


def test_the_numbers_of_the_file(bpe: YouTokenToMe) -> None:
    assert (bpe.unk, bpe.pad, bpe.bos, bpe.eos) == (1, 0, 2, 3)
    assert len(bpe) == 17


def brute_force(word: str, rules: list[tuple[int, int, int]]) -> list[int]:
    """Rules one by one in their order, again from the first after every single merge."""
    tokens = [4, *(CHARS[char] for char in word)]
    merged = True
    while merged:
        merged = False
        for x, y, z in rules:
            for i in range(len(tokens) - 1):
                if tokens[i : i + 2] == [x, y]:
                    tokens[i : i + 2] = [z]
                    merged = True
                    break
            if merged:
                break
    return tokens


def test_long_random_words_equal_brute_force(tmp_path: Path) -> None:
    draw = random.Random(0)
    rules: list[tuple[int, int, int]] = []
    known = list(CHARS.values())
    while len(rules) < 40:
        pair = draw.choice(known), draw.choice([token for token in known if token != 4])
        if pair not in {rule[:2] for rule in rules} and not (pair[1] != 4 and pair[1] in {12, 13, 16}):
            rules.append((*pair, 10 + len(rules)))
            known.append(rules[-1][2])
    bpe = YouTokenToMe(write(tmp_path / "bpe.model", rules))
    for _ in range(300):
        word = "".join(draw.choice("котме") for _ in range(draw.randint(1, 25)))
        assert bpe.encode(word) == brute_force(word, rules)


def test_it_is_saved_and_loaded(bpe: YouTokenToMe, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    bpe.save(folder)
    again = load_tokenizer("youtokentome", folder)
    assert again.encode("кот xмем") == bpe.encode("кот xмем")


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"bpe\.model is missing"):
        load_tokenizer("youtokentome", tmp_path)
    for number, content in enumerate(("", "1 0\n9601", "пиксели", "1 0\n65 4\n1 0 2 3\n", "5 5\n1 2\n")):
        path = tmp_path / f"{number}.model"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="is no youtokentome model"):
            YouTokenToMe(path)
