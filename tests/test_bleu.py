"""The paper's score: equal to the reference evaluator's, bounded, and clear about what it cannot score."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bleu import (
    SIGNATURE,
    BleuScore,
    corpus_bleu,
    read_codexglue_file,
    score_files,
    sentence_bleu,
    tokens,
)
from core.errors import DataError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "bleu.json").read_text(encoding="utf-8"))
CASES = GOLDEN["cases"]


def test_golden_file_is_whole() -> None:
    assert len(CASES) == 242


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}-{case['case']}")
def test_sentence_scores_equal_the_reference_evaluator(case: dict) -> None:
    assert sentence_bleu(case["prediction"], case["references"]) == pytest.approx(case["sentence_bleu"], abs=1e-9, rel=1e-9)


def test_corpus_score_equals_the_reference_evaluator() -> None:
    score = corpus_bleu([case["prediction"] for case in CASES], [case["references"] for case in CASES])
    assert score.score == pytest.approx(GOLDEN["corpus_bleu"], abs=1e-9)
    assert score.sentences == tuple(sentence_bleu(case["prediction"], case["references"]) for case in CASES)
    assert float(score) == score.score
    assert score.signature == SIGNATURE


def test_signature_states_the_recipe() -> None:
    for part in ("codexglue", "n:4", "smooth:", "tok:", "case:lc", "version:"):
        assert part in SIGNATURE


def test_score_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BleuScore(1.0, (1.0,)).score = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Returns the User_name! ", ["returns", "the", "user", "_", "name", "!"]),
        ("10.5 x::y", ["10", ".", "5", "x", ":", ":", "y"]),
        ("数据 é", ["数据", "é"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_score_lies_between_0_and_100(prediction: str, references: list[str]) -> None:
    assert 0 <= sentence_bleu(prediction, references) <= 100


@given(st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), min_size=1, max_size=30), st.text())
def test_the_reference_itself_scores_100(words: list[str], other: str) -> None:
    sentence = " ".join(words)
    assert sentence_bleu(sentence, [sentence]) == pytest.approx(100, abs=1e-9)
    assert sentence_bleu(sentence, [sentence, sentence + other]) == pytest.approx(100, abs=1e-9)


@given(st.lists(st.sampled_from(["get", "the", "user", "."]), max_size=8), st.lists(st.sampled_from(["get", "the"]), max_size=8))
def test_case_and_outer_blanks_do_not_count(prediction: list[str], reference: list[str]) -> None:
    plain = sentence_bleu(" ".join(prediction), [" ".join(reference)])
    assert sentence_bleu("  " + " ".join(prediction).upper(), [" ".join(reference) + "\n"]) == plain


def test_an_empty_prediction_is_nearly_but_not_zero() -> None:
    assert 0 < sentence_bleu("", ["one two three"]) < 5


def test_references_do_not_add_up() -> None:
    """A word counts as often as in the reference that has it most, not as often as in all together."""
    assert sentence_bleu("user user", ["the user", "user of"]) == sentence_bleu("user user", ["the user"])


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match=r"2 predictions cannot be scored against 1 lists of references.*exactly one list"):
        corpus_bleu(["a", "b"], [["a"]])


def test_no_rows_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        corpus_bleu([], [])


def test_no_reference_is_refused() -> None:
    with pytest.raises(DataError, match=r"was given no reference.*at least one"):
        sentence_bleu("a", [])


def test_a_bare_string_as_references_is_refused() -> None:
    with pytest.raises(DataError, match=r"one string as references: 'the user'.*\[reference\]"):
        sentence_bleu("the user", "the user")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_codexglue_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "gold", "1\tone\u2028still one\r\n\n2\ttwo\twith tab\n1\tuno\n3\n")
    assert read_codexglue_file(path) == {"1": ["one\u2028still one", "uno"], "2": ["two\twith tab"], "3": [""]}


def test_files_are_scored_as_the_reference_does(tmp_path: Path) -> None:
    predictions = write(tmp_path / "out", "0\tfirst try\n0\tgets the user\n1\topens a file\tignored\n9\tnobody asked\n")
    references = write(tmp_path / "gold", "0\tgets the user\n1\topens the file\n1\topens a file for reading\n2\tnot predicted\n")
    scored = score_files(predictions, references)
    second = sentence_bleu("opens a file", ["opens the file", "opens a file for reading"])
    assert scored.bleu.sentences == (pytest.approx(100, abs=1e-9), second)
    assert scored.bleu.score == pytest.approx((100 + second) / 2)
    assert scored.missing == ("2",)
    assert scored.unknown == ("9",)


def test_files_without_a_common_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"have no id in common.*before the first tab"):
        score_files(write(tmp_path / "out", "a\tx\n"), write(tmp_path / "gold", "b\tx\n"))


def test_lines_without_ids_are_refused(tmp_path: Path) -> None:
    """Lines that happen to be the same would score 100 as "ids" without a text."""
    same = "gets the user\nopens a file\n"
    with pytest.raises(DataError, match=r"Line 1 of .*out has no id: 'gets the user'.*a tab before each text"):
        score_files(write(tmp_path / "out", same), write(tmp_path / "gold", same))
    with pytest.raises(DataError, match=r"Line 2 of .*gold has no id"):
        score_files(write(tmp_path / "out", "0\tgets\n"), write(tmp_path / "gold", "0\tgets the user\nopens a file\n"))
    with pytest.raises(DataError, match=r"No line of .*out has an id: there is no tab"):
        score_files(write(tmp_path / "out", "gets\nopens\n"), write(tmp_path / "gold", "gets\nopens\n"))


def test_comments_that_are_all_empty_are_scored(tmp_path: Path) -> None:
    scored = score_files(write(tmp_path / "out", "0\t\n1\n"), write(tmp_path / "gold", "0\tgets the user\n1\topens\n"))
    assert (len(scored.bleu.sentences), scored.missing, scored.unknown) == (2, (), ())


def test_a_pipe_as_file_of_comments_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out")
    with pytest.raises(DataError, match="out cannot be read: it is a FIFO, not a regular file"):
        read_codexglue_file(tmp_path / "out")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere cannot be read: No such file.*id<TAB>text"):
        read_codexglue_file(tmp_path / "nowhere")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no lines"):
        read_codexglue_file(write(tmp_path / "empty", "\n\n"))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"1\tcaf\xe9\n")
    with pytest.raises(DataError, match=r"latin is not UTF-8 \(byte 5\)"):
        read_codexglue_file(path)


@pytest.mark.parametrize("module", ["core.bleu", "core.score.metrics", "core.ruby"])
def test_import_is_cheap(module: str) -> None:
    heavy = "{'torch', 'transformers', 'nltk', 'numpy', 'sacrebleu', 'textual'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
