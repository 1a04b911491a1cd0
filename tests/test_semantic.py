"""Semantic similarity: the mean cosine of sentence embeddings, in `score` and wherever a run's scores are shown."""

import csv
import io
import json
from pathlib import Path

import pytest
from test_lottery import new_run, run
from test_score import GOLD, numbered

from codeprune_tui.cli import tables
from codeprune_tui.reports import scoring as report
from codeprune_tui.reports.tables import curves_table, encoder_off_table, floors_table, recovery_table, rounds_table
from codeprune_tui.views.comparison import AXES, picture
from codeprune_tui.views.series import titles
from codeprune_tui.views.state import RunView, reduce_all
from core.errors import ModelError
from core.evaluate.evaluate import evaluate_model
from core.recipe import build_recipe, load_recipe
from core.run.journal import read_journal
from core.run.results import SEMANTIC, ResultsReader, to_csv
from core.spec.precheck import source_problems
from core.study.findings import recoveries
from core.study.runs import read_study
from core.study.scoring import score_comments
from core.text.comments import read_comments
from core.text.gold import read_gold

TITLE = "semantic similarity"


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of random weights: equal texts are near each other, and nothing else is known of it."""
    pytest.importorskip("sentence_transformers", reason="the extra is not installed: pip install 'codeprune-tui[semantic]'")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from test_loading import tokenizer
    from transformers import RobertaConfig, RobertaModel

    base, folder = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("embedder") / "model"
    words = tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    RobertaModel(RobertaConfig(vocab_size=len(words), max_position_embeddings=130, **sizes)).save_pretrained(base)
    words.save(base)
    body = Transformer(str(base), max_seq_length=64)
    SentenceTransformer(modules=[body, Pooling(16)], device="cpu").save(str(folder))
    return folder


@pytest.mark.filterwarnings("ignore")  # its libraries warn of each other
def test_an_embedder_adds_the_cosine_of_meanings(embedder: Path, tmp_path: Path) -> None:
    from core.score.semantic import Embedder

    model = Embedder(embedder)
    same, other = model.cosines([GOLD[0], GOLD[1]], [[GOLD[0]], [GOLD[2], GOLD[0]]])
    assert same == pytest.approx(100, abs=1e-3)
    assert other < 99.999
    first, second = numbered(tmp_path / "a", GOLD), numbered(tmp_path / "b", GOLD[::-1])
    names = {str(place): f"A.name_{place}" for place in range(4)}
    gold = read_gold(numbered(tmp_path / "gold", GOLD))
    scoring = score_comments([read_comments(first), read_comments(second)], gold, names=names, embedder=model)
    assert scoring.files[0].intervals["semantic"].value == pytest.approx(100, abs=1e-3)
    assert scoring.compared[0].differences["semantic"].value > 0
    assert scoring.floors is not None
    assert 0 < scoring.floors.name.semantic < 99.999
    assert scoring.floors.constant.semantic < 99.999
    assert "semantic similarity" in report.text(scoring)
    facts = report.json_facts(scoring)
    assert str(facts["signatures"]).count("sentence-transformers|cosine") == 1
    with pytest.raises(ModelError, match=r"no modules\.json"):
        Embedder(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_a_recipes_embedder_scores_every_round_and_is_shown_with_its_floors(embedder: Path, tmp_path: Path) -> None:
    paths = new_run(tmp_path, evaluation={"embedder": str(embedder)}, pruning={"rounds": 1}, training={"steps": 2})
    run(paths)
    for number in (0, 1):
        facts = json.loads((paths.round(number) / "metrics.json").read_text())
        lines = [json.loads(line) for line in (paths.round(number) / "predictions.jsonl").read_text().splitlines()]
        assert facts["scores"][SEMANTIC] == pytest.approx(sum(line[SEMANTIC] for line in lines) / len(lines))
        assert facts["intervals"][SEMANTIC]["low"] <= facts["scores"][SEMANTIC] <= facts["intervals"][SEMANTIC]["high"]
        assert all(-100 <= facts["floors"][name][SEMANTIC] <= 100 for name in ("name", "constant"))
        assert facts["signatures"][SEMANTIC].startswith("sentence-transformers|cosine")
    assert SEMANTIC in facts["against_dense"]
    results = ResultsReader(paths).poll()
    (row, *_) = csv.DictReader(io.StringIO(to_csv(results)))
    for key in (SEMANTIC, f"floor_name_{SEMANTIC}", f"{SEMANTIC}_low", f"floor_encoder_off_{SEMANTIC}", f"{SEMANTIC}_signature"):
        assert row[key], key
    shown = picture({"run": results}, AXES["sparsity"], SEMANTIC)
    assert len(shown.curves[0].points) == 2
    assert {level.name for level in shown.levels} == {"dense", "encoder_off", "name", "constant"}
    assert " semantic " in tables.comparison(results)
    view = reduce_all(RunView(), read_journal(paths.journal))
    assert titles(view)[SEMANTIC] == TITLE
    assert " semantic" in tables.results(view)
    study = read_study([paths])
    for table in (rounds_table(study), floors_table(study), encoder_off_table(study), recovery_table(recoveries(study))):
        assert TITLE in table.header
    assert curves_table(study, SEMANTIC).rows[0][-1] != "–"


@pytest.mark.filterwarnings("ignore")
def test_evaluate_shows_it_too(embedder: Path, tmp_path: Path) -> None:
    paths = new_run(tmp_path, kind="finetune", training={"steps": 1})
    run(paths)
    recipe = load_recipe(paths.recipe)
    settings = recipe.evaluation.model_copy(update={"embedder": str(embedder)})
    scored = evaluate_model(str(paths.round(0)), recipe.data.path, settings, source_length=48, target_length=24, threads=1)
    assert tables.evaluation(scored, "model").splitlines()[0].split()[-1] == "semantic"
    assert set(json.loads(tables.evaluation_json(scored, {}))["floors"]["name"]) >= {"chrf", SEMANTIC}
    without = evaluate_model(str(paths.round(0)), recipe.data.path, recipe.evaluation, source_length=48, target_length=24)
    assert "semantic" not in tables.evaluation(without, "model")
    assert SEMANTIC not in json.loads(tables.evaluation_json(without, {}))["scores"]


def test_an_embedder_that_is_none_is_refused_before_the_run(tmp_path: Path) -> None:
    problems = source_problems(build_recipe({"evaluation": {"embedder": str(tmp_path)}}, "recipe"))
    assert "no modules.json" in str(problems["evaluation.embedder"])
