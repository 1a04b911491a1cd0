"""All scores at once, and the floors: held against sacrebleu itself and against the known figures on the real rows."""

import gzip
import json
from pathlib import Path

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from core.bleu import SIGNATURE, corpus_bleu
from core.errors import DataError
from core.ruby import target_text
from core.score.metrics import floors, name_prediction, name_words, rouge_l, score, signatures

PREDICTIONS = ["Returns the user .", "Opens a file", ""]
REFERENCES = ["returns the first user .", "Opens the file for reading .", "Nothing ."]


def test_scores_are_those_of_the_libraries() -> None:
    scored = score(PREDICTIONS, REFERENCES)
    smoothed = corpus_bleu(PREDICTIONS, [[reference] for reference in REFERENCES])
    assert scored.scores.bleu == smoothed.score
    assert scored.sentences == smoothed.sentences
    assert scored.scores.corpus_bleu == sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES], lowercase=True, force=True).score
    assert scored.scores.chrf == sacrebleu.CHRF(lowercase=True).corpus_score(PREDICTIONS, [REFERENCES]).score
    assert scored.scores.rouge_l == pytest.approx(100 * (6 / 7 + 4 / 8 + 0) / 3)  # 2 * common / (both lengths), row by row
    assert scored.scores.rows == 3


def test_case_does_not_count() -> None:
    assert score([text.upper() for text in PREDICTIONS], REFERENCES) == score(PREDICTIONS, REFERENCES)


def test_equal_texts_score_100() -> None:
    texts = ["Returns the value of the given ."] * 2
    scores = score(texts, texts).scores
    assert (scores.bleu, scores.corpus_bleu, scores.chrf, scores.rouge_l) == pytest.approx((100, 100, 100, 100))


def test_rouge_l_takes_the_reference_that_fits_best_and_keeps_order() -> None:
    assert rouge_l(["a b c d"], [["x y", "a x c b"]]) == [50.0]  # "a c" or "a b": two words of four on both sides
    assert rouge_l(["The User!"], [["the user"]]) == [100.0]


def test_many_tokenized_periods_bring_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    score(["Gets it ."] * 200, ["Gets it ."] * 200)
    assert not caplog.records


def test_every_score_has_a_signature() -> None:
    by_score = signatures()
    assert set(by_score) == {"bleu", "corpus_bleu", "chrf", "rouge_l"}
    assert by_score["bleu"] == SIGNATURE
    assert by_score["corpus_bleu"] == f"nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert by_score["rouge_l"] == "rouge-score|type:rougeL|measure:f|case:lc|tok:default|stem:no|mean:sentence|version:0.1.2"
    assert by_score["chrf"] == f"nrefs:1|case:lc|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("A.b.print_summary", ["print", "summary"]),
        ("printSummary", ["print", "summary"]),
        ("utf8_name?", ["utf", "8", "name"]),
        ("A::B.save!", ["save"]),
        ("größe_lesen", ["größe", "lesen"]),
        ("Hash.[]=", []),
        ("", []),
    ],
)
def test_name_words(name: str, words: list[str]) -> None:
    assert name_words(name) == words


def test_name_prediction() -> None:
    assert name_prediction("A.b.print_summary") == "Returns the print summary ."
    assert name_prediction("Hash.[]=") == "Returns the ."


@given(st.text())
def test_name_words_are_words(name: str) -> None:
    assert all(word.isalnum() for word in name_words(name))


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 method names do not fit 2 references.*same order"):
        floors(["a", "b"], ["x"])
    with pytest.raises(DataError, match="2 predictions cannot be scored against 1"):
        score(["a", "b"], ["x"])


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        floors([], [])


@pytest.mark.parametrize(
    ("split", "constant", "name"),
    [("valid", (8.75, 0.41, 10.5), (13.16, 0.84, 16.7)), ("test", (7.27, 0.19, 9.2), (10.48, 0.35, 14.0))],
)
def test_floors_on_the_real_rows(
    ruby_data: Path, split: str, constant: tuple[float, float, float], name: tuple[float, float, float]
) -> None:
    with gzip.open(ruby_data / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    measured = floors([target_text(row["docstring_tokens"]) for row in rows], [row["func_name"] for row in rows])
    for scores, (bleu, corpus, chrf) in ((measured.constant, constant), (measured.name, name)):
        assert scores.rows == len(rows)
        assert round(scores.bleu, 2) == bleu
        assert round(scores.corpus_bleu, 2) == corpus
        assert round(scores.chrf, 1) == chrf
