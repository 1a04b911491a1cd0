"""What is cut keeps what tells it apart: names their differences, paths their ends."""

import pytest
from rich.cells import cell_len

from codeprune_tui.views.shorten import LONGEST_PATH, apart, middle_out, path_end, short_paths

METHODS = [
    "ruby-mini-magnitude-layerwise-cubic-seed-1",
    "ruby-mini-magnitude-global-cubic-seed-1",
    "ruby-mini-random-layerwise-linear-seed-1",
    "ruby-mini-magnitude-layerwise-cubic-seed-2",
]


@pytest.mark.parametrize("width", [15, 18, 24, 40, 80])
def test_names_that_differ_inside_are_told_apart(width: int) -> None:
    others = ["demo-1", "checkpoint" * 5 + "x" + "checkpoint" * 5, "checkpoint" * 5 + "y" + "checkpoint" * 5]
    shown = apart([*METHODS, *others], width)
    assert list(shown) == [*METHODS, *others]
    assert len(set(shown.values())) == len(shown)
    assert all(cell_len(text) <= width for text in shown.values())
    assert shown["demo-1"] == "demo-1"


def test_what_differs_is_a_word_and_not_one_letter_of_it() -> None:
    shown = apart(METHODS, 15)
    assert "layerwise" in shown[METHODS[0]]
    assert "global" in shown[METHODS[1]]
    assert "random" in shown[METHODS[2]]
    assert shown[METHODS[3]].endswith("-seed-2")


def test_names_that_differ_in_several_words_keep_the_beginning_of_each() -> None:
    names = [
        f"{scope}-{rewind}-s{seed}" for scope in ("layerwise", "global") for rewind in ("fine", "pretrained") for seed in "012"
    ]
    shown = apart(names, 13)
    assert shown["layerwise-pretrained-s2"] == "laye-pret-s2"
    assert len(set(shown.values())) == len(names)
    assert all(cell_len(text) <= 13 for text in shown.values())


@pytest.mark.parametrize("width", range(1, 12))
def test_no_width_is_too_small_to_be_kept(width: int) -> None:
    assert all(cell_len(text) <= width for text in apart([*METHODS, "漢字の名前は幅が二つ分です"], width).values())


def test_names_that_fit_are_whole() -> None:
    assert apart(METHODS, 60) == {name: name for name in METHODS}
    assert middle_out("abcdefghij", 5) == "ab…ij"


def test_of_a_path_the_end_is_kept() -> None:
    path = "/scratch/" + "projects/" * 20 + "checkpoints/demo-1/recipe.toml"
    assert path_end(path, 40) == "…/checkpoints/demo-1/recipe.toml"
    assert cell_len(path_end(path, 40)) <= 40
    assert path_end("recipe.toml", 40) == "recipe.toml"
    assert path_end("x" * 50 + ".toml", 20) == "…" + "x" * 14 + ".toml"


def test_a_sentence_keeps_all_words_but_shortens_endless_paths() -> None:
    path = "/" + "folder/" * 60 + "model.safetensors"
    text = short_paths(f"Cannot read {path}: there is no such file. Name another one.")
    assert text.startswith("Cannot read …/folder/")
    assert text.endswith("folder/model.safetensors: there is no such file. Name another one.")
    assert max(map(cell_len, text.split())) <= LONGEST_PATH
    short = "Cannot read /a/b/c: there is no such file."
    assert short_paths(short) == short
