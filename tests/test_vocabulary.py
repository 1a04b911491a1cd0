"""Entries of the vocabulary go: what stays reads and writes as before, every text can still be written, runs resume."""

import json
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_latency import SPEEDY, measured  # noqa: F401 - `measured` is a fixture
from test_lottery import DEMO, Make, make, new_run, of, run  # noqa: F401 - `make` is a fixture
from test_model import small_model
from test_resume import figures, outcome
from workers import run as work

from codeprune_tui.cli import main
from codeprune_tui.runs import cost_text
from codeprune_tui.runs.costing import Costs
from codeprune_tui.views.form import verdict
from codeprune_tui.views.text import sentence
from core.compress.masks import load_masks
from core.compress.quantize import UnavailableError, quantize
from core.compress.shrink import cut_vocabulary, vocabulary_plan
from core.errors import ModelError, RecipeError
from core.evaluate.comment import comment_methods
from core.evaluate.evaluate import evaluate_model
from core.evaluate.speed import Entrant
from core.families.reader import Reader, read_reader
from core.families.tokenizer import train_tokenizer
from core.families.vocabulary import choose, cut_reader, uses
from core.model import load_model, load_reader, save_model
from core.recipe import Evaluation, Search, build_recipe
from core.ruby import methods
from core.run.events import Event, Pruned, Rewound, RoundFinished, Shrunk
from core.spec.costs import DiskNeed
from core.spec.given import warnings
from core.text.rows import load_rows

MINI = Path(__file__).parent.parent / "checkpoints" / "bundled" / "ruby-mini"
ROWS = load_rows(DEMO, "train").rows[:40]
TEXTS = [text for row in ROWS for text in (row.source, row.target)]
ALONE: dict[str, object] = {"unit": "vocabulary", "rounds": 1, "shrink": True}
BESIDE: dict[str, object] = {
    "unit": "head+neuron+vocabulary", "scope": "global", "prunable": "all", "rounds": 2, "final_sparsity": 0.6, "entries": 330,
    "shrink": True,
}  # fmt: skip


def a_reader(kind: str) -> Reader:
    return read_reader(MINI) if kind == "WordPiece" else Reader(train_tokenizer(TEXTS, vocab_size=700), ("split-identifiers",))


READERS = {kind: a_reader(kind) for kind in ("BPE", "WordPiece")}


def used_by(reader: Reader, count: int) -> dict[int, int]:
    return uses(reader.sources([row.source for row in ROWS[:count]], 64), reader.ids([row.target for row in ROWS[:count]], 32))


@pytest.mark.parametrize("kind", READERS)
def test_texts_of_kept_entries_are_read_as_before(kind: str) -> None:
    reader = READERS[kind]
    kept = choose(reader.tokenizer, used_by(reader, 10))
    smaller = cut_reader(reader, kept)
    assert len(smaller) == len(kept) < len(reader)
    number = {old: new for new, old in enumerate(kept)}
    old, new = (each.sources([row.source for row in ROWS[:10]], 64) for each in (reader, smaller))
    assert [[number[token] for token in ids] for ids in old] == new
    assert [smaller.text(ids[1:]) for ids in new] == [reader.text(ids[1:]) for ids in old]
    assert choose(smaller.tokenizer, used_by(smaller, 10)) == list(range(len(smaller))), "nothing more can go"
    unused = set(range(len(reader))) - set(kept)
    assert not unused & used_by(reader, 10).keys()


def test_an_entry_stays_with_those_that_it_is_merged_from() -> None:
    reader = READERS["BPE"]
    pairs = [tuple(pair) for pair in json.loads(reader.tokenizer.to_str())["model"]["merges"]]
    kept = choose(reader.tokenizer, used_by(reader, 5), 300)
    tokens = {reader.tokenizer.id_to_token(number) for number in kept}
    pair_of = {"".join(pair): pair for pair in pairs}
    assert any(token in pair_of for token in tokens)
    assert all(set(pair_of[token]) <= tokens for token in tokens if token in pair_of)
    assert {number for number in range(261) if number < 4 or len(reader.tokenizer.id_to_token(number)) == 1} <= set(kept)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("most", [0, 500])
@settings(deadline=None, max_examples=60)
@given(
    text=st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda data: data.decode("latin-1")), st.sampled_from(TEXTS))
)
def test_no_text_becomes_unknown(kind: str, most: int, text: str) -> None:
    reader, smaller = READERS[kind], SMALLER[kind, most]
    old, new = (each.ids([text], 10_000)[0][1:-1] for each in (reader, smaller))
    unknown = reader.tokenizer.token_to_id("<unk>")
    assert old.count(unknown) == new.count(unknown)
    assert smaller.text(new) == reader.text(old)
    assert max(new, default=0) < len(smaller)


@pytest.mark.parametrize("kind", READERS)
def test_the_most_used_stay(kind: str) -> None:
    reader, used = READERS[kind], used_by(READERS[kind], 40)
    assert len(choose(reader.tokenizer, used_by(reader, 1), len(reader) - 5)) == len(reader) - 5, "unused ones stay, too"
    least = len(choose(reader.tokenizer, {}))
    few = least + 20
    kept = {most: set(choose(reader.tokenizer, used, most)) for most in (few, few + 40, 0)}
    assert len(kept[few]) == few
    assert kept[few] < kept[few + 40] < kept[0]
    longest = (max((used.get(token, 0) for token in kept[0] - kept[most]), default=0) for most in (few, few + 40))
    assert next(longest) >= next(longest)
    with pytest.raises(ModelError, match=f"{least} entries of the vocabulary cannot be done without") as caught:
        choose(reader.tokenizer, used, least - 1)
    assert f"{least - 1} were asked for" in caught.value.fix


def test_sources_and_comments_count_alike() -> None:
    assert uses([[5, 5, 5, 6]], [[6, 7]]) == {5: 3 * 2, 6: 1 * 2 + 1 * 4, 7: 1 * 4}
    assert uses([], []) == {}


SMALLER = {
    (kind, most): cut_reader(reader, choose(reader.tokenizer, used_by(reader, 10), most))
    for kind, reader in READERS.items()
    for most in (0, 500)
}


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_outputs_for_kept_entries_are_the_whole_models(seed: int) -> None:
    whole, small = small_model(seed), small_model(seed)
    drawn = torch.randperm(46, generator=torch.Generator().manual_seed(seed))[: 5 + 10 * seed] + 4
    kept = sorted({0, 1, 2, 3, *drawn.tolist()})
    cut_vocabulary(small, vocabulary_plan(small.config, kept))
    old = torch.tensor([[0, kept[5], kept[4], kept[7], 2], [0, kept[6], 2, 1, 1]])
    new = torch.tensor([[kept.index(token) for token in row] for row in old.tolist()])
    theirs, ours = whole.encode(old), small.encode(new)
    assert (theirs.states - ours.states)[old != 1].abs().max() < 1e-5
    (logits, following), (fewer, same) = whole.target_logits(old, old), small.target_logits(new, new)
    assert (logits[:, kept] - fewer).abs().max() < 1e-5
    assert [kept[token] for token in same.tolist()] == following.tolist()
    assert small.lm_head.weight is small.encoder.embeddings.word_embeddings.weight
    assert fewer.shape[1] == small.config.vocab_size == len(kept)


def test_a_run_drops_what_training_does_not_use(make: Make, tmp_path: Path) -> None:  # noqa: F811
    paths = make(pruning={**ALONE, "entries": 320}, rewind={"to": "step:4"})
    events = run(paths)
    whole, small = load_model(paths.round(0)).config.vocab_size, load_model(paths.round(1)).config.vocab_size
    assert (whole, small) == (400, 320)
    assert len(load_reader(paths.round(0))) == 400
    assert len(load_reader(paths.round(1))) == 320
    assert load_masks(paths.round(1) / "masks.safetensors") == {}
    (pruned,), finished = of(Pruned, events), of(RoundFinished, events)
    assert isinstance(pruned, Pruned)
    assert (pruned.entries, pruned.sparsity, pruned.kept, pruned.total) == ((320, 400), pytest.approx(0.2), 320 * 32, 400 * 32)
    assert "kept, 320 of 400 entries of the vocabulary, in" in sentence(Event(1, 1.0, pruned))
    assert [what.sparsity for what in finished if isinstance(what, RoundFinished)] == [0.0, pytest.approx(0.2)]
    facts = json.loads((paths.round(1) / "metrics.json").read_text())
    assert (facts["sparsity"], facts["entries"]) == (pytest.approx(0.2), [320, 400])
    assert of(Rewound, events)
    (shrunk,) = of(Shrunk, events)
    assert isinstance(shrunk, Shrunk)
    assert shrunk.entries == (320, 400)
    assert shrunk.parameters[0] - shrunk.parameters[1] == 80 * 32
    assert "320 of 400 entries, " in sentence(Event(1, 1.0, shrunk))
    scored = Evaluation(rows=4, beam=2, max_length=12)
    one, other = (evaluate_model(str(place), DEMO, scored, device="cpu", threads=1) for place in (paths.shrunk, paths.round(1)))
    assert one.predictions == other.predictions
    method = next(iter(methods(ROWS[0].source)))
    assert comment_methods(str(paths.shrunk), [method], Search(2, 8), device="cpu", threads=1)
    again = load_model(paths.shrunk)
    try:
        quantized = quantize(again, "dynamic-int8")
    except UnavailableError:
        return
    save_model(quantized, load_reader(paths.shrunk), tmp_path / "int8")
    assert load_model(tmp_path / "int8").config.vocab_size == 320


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    taught: dict[str, dict[str, object]] = {"pruning": BESIDE, "training": {"teacher": "dense", "checkpoint_every": 5}}
    whole = new_run(tmp_path, "whole", **taught)
    assert work([{"run": str(whole.root)}]) == [0]
    deaths = {
        "entries chosen": {"call": "core.train.vocabulary:cut_reader", "nth": 1, "when": "before"},
        "pruned": {"event": "pruned", "nth": 1, "when": "after"},
        "inside a round": {"event": "checkpoint", "nth": 4, "when": "after"},
        "second round": {"event": "pruned", "nth": 2, "when": "after"},
        "shrinking": {"event": "shrunk", "nth": 1, "when": "before"},
    }
    for name, death in deaths.items():
        paths = new_run(tmp_path, name, **taught)
        assert work([{"run": str(paths.root), "die": death}, {"run": str(paths.root)}]) == [-9, 0], name
        assert {**outcome(paths.root), "figures": figures(paths.root)} == {**outcome(whole.root), "figures": figures(whole.root)}
        for file in ("model.safetensors", "config.json", "tokenizer.json"):
            assert (paths.shrunk / file).read_bytes() == (whole.shrunk / file).read_bytes(), name
    assert load_model(whole.shrunk).config.vocab_size == 330
    assert load_model(whole.shrunk).config.is_uneven


def test_a_speed_counts_from_the_model_with_its_whole_vocabulary(
    make: Make,  # noqa: F811
    measured: list[tuple[object, ...]],  # noqa: F811
) -> None:
    paths = make(pruning={**SPEEDY, "unit": "head+neuron+vocabulary", "entries": 330, "rounds": 1})
    events = run(paths)
    ((whole, beam, batch, dense),) = measured
    assert isinstance(whole, Entrant)
    assert isinstance(dense, Entrant)
    assert (whole.model.config.vocab_size, dense.model.config.vocab_size, beam, batch) == (330, 400, 2, 16)
    assert len(whole.sources) == len(dense.sources)
    assert sum(map(len, whole.sources)) > sum(map(len, dense.sources)), "the same texts, in smaller pieces"
    (shrunk,) = of(Shrunk, events)
    assert isinstance(shrunk, Shrunk)
    assert shrunk.promised is not None
    assert shrunk.promised >= 1.5
    assert shrunk.speedup.keys() == {"1", "16"}


def test_too_few_entries_end_a_run_with_the_number_that_is_needed(tmp_path: Path) -> None:
    from core import worker

    paths = new_run(tmp_path, pruning={**ALONE, "entries": 100})
    assert worker.main([str(paths.root)]) == 5
    assert "261 entries of the vocabulary cannot be done without" in paths.journal.read_text()


@pytest.mark.parametrize(
    ("pruning", "problem"),
    [
        (
            {"unit": "vocabulary", "rounds": 2},
            'pruning.unit = "vocabulary" drops entries in round 1 alone; set pruning.rounds = 1',
        ),
        ({"unit": "vocabulary", "rounds": 1, "gradual_every": 5}, "pruning.gradual_every lets masks grow"),
        ({"unit": "head", "entries": 300}, "pruning.entries = 300 is for the vocabulary"),
        ({"unit": "vocabulary", "rounds": 1, "budget": "latency", "scope": "global"}, 'pruning.budget = "latency" chooses among'),
        ({"unit": "layer+vocabulary"}, 'pruning.unit = "layer" lets layers compete'),
        ({"unit": ["vocabulary", "weight"]}, "pruning.unit = 'vocabulary+weight' is not allowed"),
    ],
)
def test_recipes_that_cannot_be(pruning: dict[str, object], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_recipe({"pruning": pruning}, strict=True)
    assert problem in caught.value.problem


def test_a_recipe_says_how_many_entries_stay() -> None:
    recipe = build_recipe({"pruning": {"unit": ["vocabulary", "neuron", "head"], "entries": 3000}}, strict=True)
    assert recipe.pruning.unit == "head+neuron+vocabulary"
    assert (recipe.pruning.masked, recipe.pruning.drops_entries) == ("head+neuron", True)
    assert ("vocabulary from round 1 on", "at most 3,000 entries") in cost_text.parts(recipe, None)
    need = DiskNeed(20_000_000, 0, 0, 0, 0, 0, shrunk=9_000_000)
    shrinking = build_recipe({"pruning": {"unit": "head+neuron+vocabulary", "entries": 3000, "shrink": True, "rounds": 1}})
    size = "about 9.0 of 20.0 million weights (45 %); how fast it is will be measured at the end"
    assert ("shrunk model", size) in cost_text.parts(shrinking, Costs(need, "", None, None))
    alone = build_recipe({"pruning": {"unit": "vocabulary", "rounds": 1}})
    assert verdict(alone).endswith(", the entries that training rows use")
    matrix = "encoder.encoder.layer.0.output.dense.weight"
    assert warnings(alone, {matrix: (5, 10)}) == ["The model comes pruned: encoder 50 %. What is pruned stays pruned."], (
        "it has entries to drop, so it prunes something"
    )
    assert cost_text.parts(alone, None)[0] == ("vocabulary from round 1 on", "the entries that training rows use")


def test_prune_says_who_drops_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = ("--unit", "head+vocabulary")
    assert called("prune", str(MINI), "-o", str(tmp_path / "no"), "--data", DEMO, *unit, monkeypatch=monkeypatch) == 2
    words = " ".join(capsys.readouterr().err.split())
    assert "drop entries with `codeprune-tui shrink MODEL --vocabulary DATA`" in words
    assert not (tmp_path / "no").exists()


def shrink_cli(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    return called("shrink", *arguments, monkeypatch=monkeypatch)


def called(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["codeprune-tui", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    return int(caught.value.code or 0)


def test_shrink_drops_entries_of_any_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = READERS["BPE"]
    save_model(small_model(vocab_size=len(reader) + 3), reader, tmp_path / "whole")  # rows of the embeddings that no entry has
    folder, small = tmp_path / "whole", tmp_path / "small"
    assert shrink_cli(str(folder), "-o", str(small), "--vocabulary", DEMO, "--json", monkeypatch=monkeypatch) == 0
    facts = json.loads(capsys.readouterr().out)
    left, all_ = facts["kept"]["vocabulary"]
    assert (load_model(small).config.vocab_size, len(load_reader(small)), len(reader) + 3) == (left, left, all_)
    assert facts["parameters"][0] - facts["parameters"][1] == (all_ - left) * 32
    fewer = tmp_path / "fewer"
    assert shrink_cli(str(folder), "-o", str(fewer), "--vocabulary", DEMO, "--entries", "300", monkeypatch=monkeypatch) == 0
    assert f"300 of {all_} entries of the vocabulary" in capsys.readouterr().err
    assert shrink_cli(str(folder), "-o", str(tmp_path / "no"), "--entries", "300", monkeypatch=monkeypatch) == 2
    assert "--entries needs --vocabulary DATA" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
