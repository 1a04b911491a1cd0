"""The report: from run folders alone, the same bytes every time, with everything from outside escaped, whatever is missing."""

import csv
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import save_file

from codeprune_tui.cli import main
from codeprune_tui.reports.content import Content, read_content
from codeprune_tui.reports.figures import quality
from codeprune_tui.reports.ladder import ladder_findings, read_ladders
from codeprune_tui.reports.markdown import markdown
from codeprune_tui.reports.page import page
from codeprune_tui.reports.runs import named_by_runs, pairs_table
from codeprune_tui.reports.tables import curves_table, floors_table, ladder_table
from core.errors import DataError, RunError
from core.recipe import build_recipe
from core.run.events import Pruned, Warned
from core.run.folder import RunPaths, create_run
from core.run.journal import JournalWriter
from core.study.experiments import Material, recipe_of
from core.study.ladderfile import Gap, Ladder, QuantizerResult, SplitScores, Timing, write_ladder

HOSTILE = "<script>alert('x')</script> | & `$x_1$` \u202e\x1b[31m"
REFERENCES = [f"Returns the {noun} of the {thing} ." for noun in ("name", "size", "owner") for thing in ("file", "user", "row")]
FLOORS = {name: {"bleu": value, "corpus_bleu": 0.5, "chrf": 9.0} for name, value in (("name", 12.8), ("constant", 8.4))}
MATRIX = "encoder.encoder.layer.0.attention.self.query.weight"
SECRET = "/home/somebody/secret"


def write_round(paths: RunPaths, number: int, good: int, other: str = "Sets it .") -> None:
    """A complete round: the first comments are right, the others are not."""
    folder = paths.round(number)
    folder.mkdir(parents=True)
    scores = {"bleu": 10.0 + good, "corpus_bleu": 1.0 + good / 10, "chrf": 15.0 + good}
    facts = {"sparsity": number / 2, "scores": scores, "floors": FLOORS, "split": "valid", "rows": len(REFERENCES)}
    facts |= {"signatures": {"bleu": "codexglue", "chrf": HOSTILE}, "seconds": 1.0}
    (folder / "metrics.json").write_text(json.dumps(facts))
    lines = [
        {"index": place, "name": f"A.{HOSTILE}", "prediction": text if place < good else other, "reference": text}
        for place, text in enumerate(REFERENCES)
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mask = np.arange(16) >= 8 * number
    save_file({MATRIX: np.packbits(mask)}, folder / "masks.safetensors", {"shapes": json.dumps({MATRIX: [4, 4]})})


def write_run(folder: Path, curve: str, seed: int, good: tuple[int, ...]) -> RunPaths:
    """A run of one of the paper's curves whose rounds got so many comments right."""
    paths = create_run(folder, f"{curve}-s{seed}", recipe_of(curve, "small", seed, Material(f"{SECRET}/data", f"{SECRET}/model")))
    for number, right in enumerate(good):
        write_round(paths, number, right, HOSTILE)
    journal = JournalWriter(paths.journal)
    journal.append(Pruned(round=1, sparsity=0.5, kept=8, total=16, matrices={MATRIX: 0.5}, seconds=0.1))
    journal.append(Warned(message=f"{HOSTILE} lost a row"))
    journal.close()
    return paths


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for seed in (0, 1):
        write_run(folder, "l1-b16-pretrained", seed, (9, 8))
        write_run(folder, "random-b16-pretrained", seed, (9, 1))
    return folder


OLD_MEASURES = ("bleu", "corpus_bleu", "chrf")
"""Those of a file that an older version wrote."""


def ladder_file(path: Path) -> Path:
    """A ladder as `quantize` writes it: fp16 as good as fp32, dynamic INT8 clearly worse, one method unavailable."""

    def line(method: str, bleu: float, low: float | None = None, high: float = 0.0) -> QuantizerResult:
        scores = dict.fromkeys(OLD_MEASURES, bleu)
        gaps = {} if low is None else {measure: Gap((low + high) / 2, low, high) for measure in OLD_MEASURES}
        times, splits = (
            (Timing(1, 10.0, 2.5, 1.0), Timing(32, 400.0, 9.0, 3.0, 320.0, 15)),
            {"test": SplitScores(scores, gaps, None, 1.0)},
        )
        return QuantizerResult(
            method, "rounds", disk_bytes=4_000_000, splits=splits, timings=times, layer_errors={"logits": 0.25}
        )

    lines = (line("fp32", 12.0), line("fp16", 12.0, -0.05, 0.05), line("dynamic-int8", 9.0, -4.0, -2.0))
    floors = {"test": {"name": dict.fromkeys(OLD_MEASURES, 13.0)}}
    missing = QuantizerResult("llm-int8", "rounds", unavailable=HOSTILE)
    write_ladder(Ladder("m", "d", "quantize", {}, "cpu", {}, "", {"test": 9}, floors, {}, (*lines, missing)), path)
    return path


def report(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["codeprune-tui", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main.main()
    return int(left.value.code or 0)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_folders_give_the_same_bytes_wherever_they_lie(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder_file(runs / "small-quantization.json")
    reports = []
    for number, source in enumerate((runs, runs, shutil.copytree(runs, tmp_path / "elsewhere"))):
        out = tmp_path / f"out{number}"
        outputs = ("-o", out / "r.html", "--markdown", out / "r.md", "--csv-dir", out / "csv")
        alone = [path for path in sorted(source.iterdir(), reverse=True) if path.is_dir()] if number == 2 else []
        assert report(monkeypatch, *alone, source, *outputs) == 0
        reports.append(written(out))
    assert reports[0] == reports[1] == reports[2]
    assert len(reports[0]) == 8
    text = b"".join(reports[0].values()).decode()
    assert str(tmp_path) not in text
    assert SECRET not in text
    rows = list(csv.DictReader(reports[0]["findings.csv"].decode().splitlines()))
    assert {row["outcome"] for row in rows if row["finding"] == "l1-random"} == {"held"}


class Elements(HTMLParser):
    """Collects the tags and ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        assert not [name for name, value in attrs if name in ("src", "href") and value and not value.startswith("#")]


def test_the_page_stands_alone_and_text_from_outside_is_text(runs: Path) -> None:
    text = page(read_content([runs], [ladder_file(runs / "small-quantization.json")]))
    elements = Elements()
    elements.feed(text)
    assert "script" not in elements.tags
    assert len(elements.ids) == len(set(elements.ids)) > 0
    assert "&lt;script&gt;" in text
    assert not {"\x1b", "\u202e"} & set(text)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 3
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "<dc:date>" not in drawing
    for said in ("L1 against random", "floor: the method's name", "dense, in the curve", "13.23", "codexglue", "encoder 0"):
        assert said in text.replace("&#x27;", "'")


def test_the_rows_own_comments_can_be_left_out(runs: Path) -> None:
    content = read_content([runs], [])
    assert "the row&#x27;s own" in page(content)
    assert "the row&#x27;s own" not in page(content, references=False)


def test_markdown_keeps_its_tables_whole(runs: Path) -> None:
    text = markdown(read_content([runs]))
    assert "<script" not in text.replace("\\<", "")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1
    assert "L1 beats random pruning" in text


def outcomes(content: Content, key: str) -> set[str]:
    return {verdict.outcome for finding in content.findings if finding.key == key for verdict in finding.verdicts.values()}


def test_what_is_missing_is_said_and_breaks_nothing(runs: Path) -> None:
    folders = sorted(path for path in runs.iterdir())
    (folders[0] / "recipe.toml").write_text("no recipe")
    (folders[1] / "rounds/01/predictions.jsonl").write_text("{broken")
    (folders[1] / "rounds/01/masks.safetensors").write_bytes(b"broken")
    shutil.rmtree(folders[2] / "rounds")
    (folders[3] / "events.jsonl").unlink()
    content = read_content([runs])
    text = page(content)
    assert "Its recipe cannot be read." in text
    assert "The comments of these rounds are missing or damaged: 1." in text
    assert "No round is complete." in text
    assert "There is no quantization ladder." in text
    assert "No runs of layerwise-last, layerwise-best, layerwise-best-no-stop" in text
    assert "L1 against random lacks runs; of 3 for each curve are finished: “L1, batch 16" in text
    assert outcomes(content, "overfit") == {"not tested"}
    assert markdown(content)


def test_runs_that_an_experiment_lacks_are_counted(tmp_path: Path) -> None:
    whole = (9,) * 10
    for seed in range(3):
        write_run(tmp_path, "l1-b16-pretrained", seed, whole)
    write_run(tmp_path, "random-b16-pretrained", 0, whole)
    write_run(tmp_path, "random-b16-pretrained", 1, whole[1:])
    lacks = [note for note in read_content([tmp_path]).notes if note.startswith("L1 against random lacks")]
    assert lacks == [
        "L1 against random lacks runs; of 3 for each curve are finished: “random, batch 16, rewind to pre-trained” 1."
    ]
    write_round(RunPaths(tmp_path / "random-b16-pretrained-s1"), 9, 9, HOSTILE)
    write_run(tmp_path, "random-b16-pretrained", 2, whole)
    assert not [note for note in read_content([tmp_path]).notes if note.startswith("L1 against random lacks")]


def test_times_of_a_ladder_are_those_of_a_comment(tmp_path: Path) -> None:
    (ladder,) = read_ladders([ladder_file(tmp_path / "a.json")]).values()
    table = ladder_table(ladder)
    first = dict(zip(table.header, table.rows[0], strict=True))
    assert (first["ms/comment, batch 1"], first["ms/comment, batch 32"]) == ("10.00", "10.00"), "of equal lengths, where measured"


def test_ladders_decide_the_findings_about_quantization(tmp_path: Path) -> None:
    fp16, int8 = ladder_findings(read_ladders([ladder_file(tmp_path / "a.json")]))
    for finding in (fp16, int8):  # the file is of a version without ROUGE-L
        assert {name: str(verdict.outcome) for name, verdict in finding.verdicts.items()} == {
            "bleu": "held",
            "corpus_bleu": "held",
            "chrf": "held",
            "rouge_l": "not tested",
        }
    difference = int8.verdicts["bleu"].difference
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (3.0, 2.0, 4.0)
    content = json.loads((tmp_path / "a.json").read_text())
    content["methods"][1]["splits"]["test"]["less_fp32"]["bleu"] = {"value": -1.0, "low": -2.0, "high": -0.5}
    content["methods"][2]["splits"]["test"]["less_fp32"]["bleu"] = {"value": 0.0, "low": -0.5, "high": 0.5}
    (tmp_path / "b.json").write_text(json.dumps(content))
    fp16, int8 = ladder_findings(read_ladders([tmp_path / "b.json"]))
    assert (fp16.verdicts["bleu"].outcome, int8.verdicts["bleu"].outcome) == ("did not hold", "undecided")
    assert {verdict.outcome for finding in ladder_findings({}) for verdict in finding.verdicts.values()} == {"not tested"}
    empty, broken = {**content, "methods": []}, {**content, "methods": [1]}
    huge = {**content, "floors": {"test": {"name": {"bleu": 1e300}}}}
    for damaged in ("", "{}", *map(json.dumps, (empty, broken, huge))):
        (tmp_path / "c.json").write_text(damaged)
        with pytest.raises(DataError, match=r"c\.json"):
            read_ladders([tmp_path / "c.json"])


def test_wrong_places_are_refused(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(monkeypatch, tmp_path / "nowhere") == RunError.exit_code
    assert "is no run, and no folder of runs" in capsys.readouterr().err
    assert report(monkeypatch, runs, "-o", tmp_path) == DataError.exit_code
    assert report(monkeypatch, next(runs.iterdir())) == 0
    assert (tmp_path / "report.html").is_file()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two runs of somebody's own, that differ in their criterion and were scored on different rows."""
    folder = tmp_path / "own"
    for name, criterion in (("mine", "random"), ("yours", "magnitude")):
        paths = create_run(folder, name, build_recipe({"pruning": {"rounds": 1, "criterion": criterion}}))
        for number, right in enumerate((9, 4)):
            write_round(paths, number, right)
            file = paths.round(number) / "metrics.json"
            facts = json.loads(file.read_text())
            if name == "yours":
                facts |= {"rows": 4, "floors": {name: {"bleu": 30.25, "chrf": 5.0} for name in ("name", "constant")}}
            file.write_text(json.dumps(facts))
    return folder


def test_a_report_on_runs_of_ones_own_is_about_these_runs(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report(monkeypatch, own, "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md", "--csv-dir", tmp_path / "c") == 0
    text, short = (tmp_path / "r.html").read_text(), (tmp_path / "r.md").read_text()
    for page_text in (text[text.index("</style>") :], short.replace("\\", "")):
        for about_the_paper in ("paper's", "paper&#x27;s", "not tested", "Other runs", "finding", "quantization"):
            assert about_the_paper not in page_text, about_the_paper
        for said in ("Comparison of 2 runs", "pruning.criterion", "mine", "yours", "name 12.80, constant 8.40", "30.25"):
            assert said in page_text, said
    assert "Comments beside each other" in text
    assert not (tmp_path / "c/findings.csv").exists()
    elements = Elements()
    elements.feed(text)
    assert len(elements.ids) == len(set(elements.ids)) > 0


def test_which_report_it_is_can_be_said(runs: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    title = "the paper&#x27;s findings, on our runs"
    for folder, option, papers in ((runs, None, True), (runs, "--no-findings", False), (own, "--findings", True)):
        options = [option] if option else []
        assert report(monkeypatch, folder, *options, "-o", tmp_path / "r.html") == 0
        assert (title in (tmp_path / "r.html").read_text()) is papers


def test_floors_in_a_report_belong_to_the_runs_that_share_their_rows(own: Path) -> None:
    study = named_by_runs(read_content([own])).study
    table = floors_table(study)
    rows = {row[0]: row[table.header.index("smoothed BLEU-4")] for row in table.rows}
    assert rows == {
        "the method's name, on the rows of mine": "12.80 (2 of 2 rounds above)",
        "a constant sentence, on the rows of mine": "8.40 (2 of 2 rounds above)",
        "the method's name, on the rows of yours": "30.25 (0 of 2 rounds above)",
        "a constant sentence, on the rows of yours": "30.25 (0 of 2 rounds above)",
    }
    drawing = quality("x", study.groups)
    assert "floor: the method's name, on the rows of mine" in drawing.replace("&#x27;", "'").replace("\n", "")
    assert {row[2] for row in curves_table(study, "bleu").rows} == {"name 12.80, constant 8.40", "name 30.25, constant 30.25"}


def test_runs_are_held_against_each_other_only_on_the_same_rows(runs: Path) -> None:
    table = pairs_table(read_content([runs]).study)
    assert len(table.rows) == 1
    assert table.rows[0][2] == "50 %"
    assert table.rows[0][3].startswith("+")
