"""`score`: files of comments that anybody wrote, held against CodeXGLUE's evaluator, its traps named."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from codeprune_tui.reports import scoring as report
from core.bleu import corpus_bleu
from core.errors import DataError
from core.score.metrics import floors
from core.study.scoring import check_same_length, score_comments
from core.text.comments import read_comments
from core.text.gold import read_gold

GOLDEN = json.loads((Path(__file__).parent / "golden" / "bleu.json").read_text(encoding="utf-8"))
PROGRAM = [sys.executable, "-P", "-m", "codeprune_tui.cli.main", "score"]
GOLD = ["returns the first user .", "opens the file for reading .", "nothing .", "says hello to the user ."]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def numbered(path: Path, texts: dict[int, str] | list[str]) -> Path:
    pairs = texts.items() if isinstance(texts, dict) else enumerate(texts)
    return write(path, *(f"{row}\t{text}" for row, text in pairs))


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_the_reference_evaluators_scores_on_its_own_format(tmp_path: Path) -> None:
    cases = [case for case in GOLDEN["cases"] if "\n" not in case["prediction"] + "".join(case["references"])]
    cases = [case for case in cases if "\t" not in case["prediction"] + "".join(case["references"])]
    assert len(cases) > 100
    predictions = write(tmp_path / "1.output", *(f"{case['id']}\t{case['prediction']}" for case in cases))
    gold = write(tmp_path / "1.gold", *(f"{case['id']}\t{text}" for case in cases for text in case["references"]))
    scoring = score_comments([read_comments(predictions)], read_gold(gold))
    assert scoring.is_whole
    assert scoring.files[0].scores.bleu == pytest.approx(sum(case["sentence_bleu"] for case in cases) / len(cases), abs=1e-9)
    assert scoring.files[0].tally.sentences.tolist() == pytest.approx([case["sentence_bleu"] for case in cases], abs=1e-9)
    assert "with several references" in report.text(scoring)


def test_each_trap_of_the_reference_evaluator_is_named(tmp_path: Path) -> None:
    predictions = write(
        tmp_path / "mine", "0\tgarbage", "0\treturns the first user .", "2", "9\tunknown", "3\tsays hello\tto the user ."
    )
    scoring = score_comments([read_comments(predictions)], read_gold(numbered(tmp_path / "gold", GOLD)))
    (one,) = scoring.files
    # Of two lines the last counts, what follows a second tab does not, a line of one word is an id with an empty comment.
    expected = corpus_bleu(["returns the first user .", "", "says hello"], [[GOLD[0]], [GOLD[2]], [GOLD[3]]])
    assert one.tally.sentences.tolist() == list(expected.sentences)
    assert (one.missing, one.unknown, one.comments.doubled, one.comments.empty) == (("1",), ("9",), ("0",), ("2",))
    lines = report.text(scoring).splitlines()
    heading = next(place for place, line in enumerate(lines) if "chrF" in line and "corpus BLEU" in line)
    above = "\n".join(lines[:heading])
    for words in (
        "Missing, a row of the gold without a prediction; CodeXGLUE's evaluator skips it, which flatters: 1 (1)",
        "Unknown, a prediction for no row of the gold; skipped: 1 (9)",
        "Doubled, more than one prediction for a row; the last counts: 1 (0)",
        "Empty: 1 (2)",
        "NOT ALL ROWS",
    ):
        assert words in above
    assert lines[heading + 1].startswith(f"{predictions} (3 of 4 rows)")


def test_rows_that_both_sides_lack_show_where_it_is_said_how_many_there_are(tmp_path: Path) -> None:
    mine, gold = numbered(tmp_path / "mine", GOLD[:2]), numbered(tmp_path / "gold", GOLD[:2])
    silent = report.text(score_comments([read_comments(mine)], read_gold(gold)))
    assert "2 rows" in silent
    assert "NOT ALL ROWS" not in silent
    text = report.text(score_comments([read_comments(mine)], read_gold(gold), expected=4))
    assert "2 rows, but 4 expected: 2 too few" in text
    assert "NOT ALL ROWS" in text
    assert f"{mine} (2 of 4 rows)" in text
    text = report.text(score_comments([read_comments(mine)], read_gold(gold), expected=1))
    assert "2 rows, but 1 expected: 1 too many" in text
    assert "NOT ALL ROWS" not in text
    assert "MORE ROWS THAN EXPECTED were scored" in text


def test_every_form_gives_the_same_scores(tmp_path: Path) -> None:
    texts = ["returns a user .", "opens files", "", "says hello ."]
    rows = [
        {"code_tokens": ["def", "x"], "docstring_tokens": text.split(), "func_name": f"A.name_{place}"}
        for place, text in enumerate(GOLD)
    ]
    (tmp_path / "data").mkdir()
    packed = tmp_path / "data" / "test.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    own = [
        json.dumps({"index": place, "name": f"A.name_{place}", "prediction": text, "reference": gold})
        for place, (text, gold) in enumerate(zip(texts, GOLD, strict=True))
    ]
    predictions = write(tmp_path / "predictions.jsonl", *own)
    tabs, gold_tabs = numbered(tmp_path / "mine", texts), numbered(tmp_path / "gold", GOLD)
    other = write(tmp_path / "other.jsonl", *(json.dumps({"n": place, "said": text}) for place, text in enumerate(texts)))
    plain, gold_plain = write(tmp_path / "plain", *texts), write(tmp_path / "gold-plain", *GOLD)
    pairs = [
        (read_comments(tabs), read_gold(gold_tabs)),
        (read_comments(predictions), read_gold(predictions)),
        (read_comments(other, field="said", id_field="n"), read_gold(packed)),
        (read_comments(predictions), read_gold(tmp_path / "data", split="test")),
        (read_comments(plain, by_line=True), read_gold(gold_plain, by_line=True)),
        (read_comments(other, field="said", by_line=True), read_gold(gold_plain, by_line=True)),
    ]
    scorings = [score_comments([mine], gold) for mine, gold in pairs]
    assert all(each.is_whole and each.files[0].scores == scorings[0].files[0].scores for each in scorings)
    expected = floors(GOLD, [f"A.name_{place}" for place in range(4)])
    assert [each.floors for each in scorings] == [None, expected, expected, expected, None, None]


def test_several_files_are_compared_on_the_rows_that_both_have(tmp_path: Path) -> None:
    first = read_comments(numbered(tmp_path / "a", GOLD))
    second = read_comments(numbered(tmp_path / "b", {3: "no", 1: GOLD[1], 0: "x"}))
    scoring = score_comments([first, second], read_gold(numbered(tmp_path / "gold", GOLD)))
    (pair,) = scoring.compared
    assert (pair.rows, pair.same) == (3, 1)
    scored = {row: place for place, row in enumerate(scoring.files[1].rows)}
    lost = [100 - scoring.files[1].tally.sentences[scored[row]] for row in ("0", "1", "3")]
    assert pair.differences["bleu"].value == pytest.approx(sum(lost) / 3, abs=1e-6)
    assert "minus" in report.text(scoring)
    assert "chrF" in report.text(scoring)


def test_files_without_ids_are_refused_unless_asked_for(tmp_path: Path) -> None:
    mine, gold = write(tmp_path / "mine", *GOLD), write(tmp_path / "gold", *GOLD)
    with pytest.raises(DataError, match="has no id"):
        read_comments(mine)
    with pytest.raises(DataError, match=r"no id .*its fields: 'prediction'"):
        read_comments(write(tmp_path / "m.jsonl", '{"prediction": "a b"}'))
    with pytest.raises(DataError, match="would score as words"):
        read_comments(numbered(tmp_path / "ids", GOLD), by_line=True)
    short = read_comments(write(tmp_path / "short", *GOLD[:3]), by_line=True)
    with pytest.raises(DataError, match=r"4 lines and .* 3: no order pairs them"):
        check_same_length([read_gold(gold, by_line=True), short])
    with pytest.raises(DataError, match=r"no text in the field 'comment'; its fields: 'index', 'prediction'"):
        read_comments(write(tmp_path / "p.jsonl", '{"index": 0, "prediction": "a b"}'), field="comment")
    with pytest.raises(DataError, match="no id in common"):
        score_comments([read_comments(numbered(tmp_path / "n", {77: "a"}))], read_gold(numbered(tmp_path / "g", GOLD)))


def test_the_command_says_it_all_and_loads_no_torch(tmp_path: Path) -> None:
    mine, gold = numbered(tmp_path / "mine", GOLD), numbered(tmp_path / "gold", GOLD)
    other = numbered(tmp_path / "other", GOLD[::-1])
    shown = run(mine, gold, other, "--expect", "4")
    assert shown.returncode == 0, shown.stderr
    assert "4 rows, as many as expected (4)" in shown.stdout
    assert "95 % interval" in shown.stdout
    facts = json.loads(run(mine, gold, other, "--json").stdout)
    assert facts["files"][0]["scores"]["bleu"] == pytest.approx(100)
    assert set(facts["differences"][0]) >= {"bleu", "corpus_bleu", "chrf", "rouge_l", "rows", "same_texts"}
    refused = run(write(tmp_path / "plain", *GOLD), gold)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "--by-line" in refused.stderr
    program = (
        f"import sys; sys.argv = ['codeprune-tui', 'score', {str(mine)!r}, {str(gold)!r}]\n"
        "from codeprune_tui.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "assert not {'torch', 'transformers', 'textual'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
