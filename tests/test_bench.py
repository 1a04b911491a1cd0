"""The benchmark: its slow sides give the engine's results, regressions are seen, the page is rendered, the command works."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_loading import tokenizer
from test_model import small_model
from test_quantize_ladder import Result as Printed
from test_quantize_ladder import run_cli as run_cli
from torch import nn

from codeprune_tui import bundle
from core.bench import peers, pruning, runtimes, stored, suite, where
from core.bench.ground import DATA_VARIABLE, Ground
from core.bench.measure import Goal, Result, Sample, Table, in_turn
from core.bench.reference import PaddedTrainer, padded, padded_loss, slow_beam_search
from core.bench.suite import ON_CUDA, devices, make_ground, planned
from core.data import Batch, pad_lists
from core.decode import beam_search
from core.errors import DataError, TrainingError
from core.families.bart import as_bart, generate
from core.families.config import EOS, PAD, CodeToTextConfig
from core.families.memory import peak_bytes, reset_peak
from core.families.roberta import CodeToText, step_bytes
from core.model import save_model

ROOT = Path(__file__).parent.parent
SOURCES = [[0, 11, 12, 13, 14, 2], [0, 21, 22, 2], [0, 31, 2]]
TARGETS = [[0, 5, 6, 2], [0, 7, 8, 9, 10, 2], [0, 12, 2]]
RESULT = Result(
    "training", "mini", "training, batch 8", "fixed padding", "s/example", Sample(1, 1, 1, 3), Sample(5, 4, 6, 3), 5.0
)
FACTS = stored.Facts("a processor", "cpu-2-threads", 2, {"torch": "2"}, "some rows", False, 0.1)


@pytest.fixture
def model() -> CodeToText:
    torch.manual_seed(3)
    return small_model().eval()


def batch() -> Batch:
    return Batch(pad_lists(SOURCES, PAD), pad_lists(TARGETS, PAD), (0, 1, 2))


def test_the_loss_of_a_batch_is_the_padded_reference_s(model: CodeToText) -> None:
    short = batch()
    full = padded(short, PAD, 20, 16)
    assert full.sources.shape == (3, 20)
    assert full.targets.shape == (3, 16)
    with torch.no_grad():
        ours, theirs = model(short.sources, short.targets), padded_loss(model, full)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_a_padded_step_trains(model: CodeToText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.bench.reference.padded", lambda examples, pad: padded(examples, pad, 20, 16))
    reference = PaddedTrainer(model, learning_rate=1e-3)
    losses = [reference.train_step(batch()) for _ in range(8)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("beam", [1, 4])
def test_the_slow_decoder_finds_what_the_fast_one_finds(model: CodeToText, beam: int) -> None:
    for source, (best, *_) in zip(SOURCES, beam_search(model, SOURCES, beam=beam, max_length=8), strict=True):
        slow = slow_beam_search(model, source, beam, 8, source_length=20)
        assert slow.tokens == best.tokens
        assert slow.finished == best.finished
        assert slow.score == pytest.approx(best.score, abs=1e-4)


def test_the_peer_is_the_same_model(model: CodeToText) -> None:
    bart, examples = as_bart(model), batch()
    with torch.no_grad():
        theirs = bart(
            input_ids=examples.sources, attention_mask=(examples.sources != PAD).long(), decoder_input_ids=examples.targets
        ).logits
        ours, _ = model.target_logits(examples.sources, examples.targets)
    assert torch.allclose(theirs[:, :-1][examples.targets[:, 1:] != PAD], ours, atol=1e-5)
    greedy = [hypotheses[0].tokens for hypotheses in beam_search(model, SOURCES, beam=1, max_length=8)]
    assert generate(bart, SOURCES, beam=1, max_length=8) == greedy


def test_global_masks_are_those_of_torch_prune() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(40, 30, bias=False), nn.Linear(20, 50, bias=False)]
    ours = pruning.ours({str(number): layer.weight for number, layer in enumerate(layers)})
    for mine, their in zip(ours.values(), pruning.theirs(layers), strict=True):
        assert torch.equal(mine, their.bool())


def test_a_peak_of_memory_is_forgotten_and_seen() -> None:
    reset_peak()
    before = peak_bytes()
    if not before:
        pytest.skip("memory is read from /proc, which is not here")
    held = torch.ones(16_000_000)  # 64 MB
    assert peak_bytes() - before > 50e6
    del held
    reset_peak()
    assert peak_bytes() - before < 50e6


def test_sides_take_turns() -> None:
    order: list[str] = []
    ours, theirs = in_turn(
        lambda turn: order.append(f"a{turn}") or turn, lambda turn: order.append(f"b{turn}") or 5, 3, warm=False
    )
    assert order == ["a0", "b0", "b1", "a1", "a2", "b2"]
    assert (ours, theirs) == (Sample(1, 0, 2, 3), Sample(5, 5, 5, 3))


def test_a_worse_ratio_is_named() -> None:
    before = stored.Run(FACTS, "old", (RESULT,))
    slower = replace(RESULT, value=5.0 / 1.21)
    (sentence,) = stored.regressions(before, [slower])
    assert sentence == "training, mini, training, batch 8: 4.13 ×, but 5.00 × in the last stored run"
    assert not stored.regressions(before, [replace(RESULT, value=5.0 / 1.19), replace(RESULT, value=50.0)])
    assert not stored.regressions(None, [slower])
    assert not stored.regressions(before, [replace(slower, what="something else")])
    # Where less is better, more is worse; a time without another side says little about another day.
    most = replace(RESULT, value=1.0, goal=Goal(1.03, at_least=False))
    known = stored.Run(FACTS, "old", (most,))
    assert stored.regressions(known, [replace(most, value=1.3)])
    assert not stored.regressions(known, [replace(most, value=0.5)])
    assert not stored.regressions(known, [replace(most, value=1.3, is_ratio=False)])


def test_what_is_kept_says_which_mini_it_was_measured_with() -> None:
    mini, base = replace(RESULT, size="mini", note=""), replace(RESULT, size="base", note="")
    tables = tuple(Table("growth", title, ("batch",), (("1",),)) for title in ("Training mini by batch", "Costs of base"))
    before = stored.Run(replace(FACTS, mini="6 M weights"), "old", (mini, base), tables)
    now = replace(FACTS, mini="19.1 M weights")
    both = stored.merged(before, stored.Run(now, "new", (replace(RESULT, name="greedy"),)))
    assert {result.size: result.note for result in both.results if result.name == RESULT.name} == {
        "mini": "mini had 6 M weights",
        "base": "",
    }
    assert [table.title for table in both.tables] == ["Training mini by batch; mini had 6 M weights", "Costs of base"]
    assert stored.merged(both, stored.Run(replace(now, mini="30 M weights"), "newer")).tables == both.tables
    fresh = stored.merged(both, stored.Run(now, "newest", (mini,), tables[:1]))
    assert [table.title for table in fresh.tables] == ["Training mini by batch", "Costs of base"]
    assert [result.note for result in fresh.results if stored.key(result) == stored.key(mini)] == [""]
    assert "; mini has 19.1 M weights." in stored.page([fresh])


def test_a_run_is_stored_and_what_it_left_out_is_kept(tmp_path: Path) -> None:
    other = replace(RESULT, name="greedy", goal=Goal(3.0))
    table = Table("growth", "By batch", ("batch", "s"), (("1", "2"),))
    old = stored.merged(None, stored.Run(FACTS, "old", (RESULT, other), (table,)))
    file = stored.file_of(tmp_path, FACTS)
    stored.write(old, file)
    assert stored.read(file) == old
    both = stored.merged(stored.read(file), stored.Run(FACTS, "new", (replace(RESULT, value=6.0),)))
    assert [result.value for result in both.results] == [6.0, 5.0]
    assert both.commits == {stored.key(RESULT): "new", stored.key(other): "old"}
    assert both.tables == (table,)
    elsewhere = replace(FACTS, device="another processor")
    moved = stored.merged(both, stored.Run(elsewhere, "newest", (replace(RESULT, value=7.0),)))
    moved = stored.merged(moved, stored.Run(replace(FACTS, device="a third"), "later", (replace(RESULT, value=8.0),)))
    assert [(result.value, result.note) for result in moved.results] == [(8.0, RESULT.note), (5.0, "measured on a processor")]
    assert [each.title for each in moved.tables] == [f"{table.title}; measured on a processor"]
    assert stored.merged(moved, stored.Run(elsewhere, "last", (), (table,))).tables == (table,)
    assert stored.file_of(tmp_path, replace(FACTS, quick=True)) != file
    file.write_text("{}")
    with pytest.raises(DataError, match="Delete it, or restore it"):
        stored.read(file)


def test_the_page_shows_targets_and_what_is_not_measured() -> None:
    missed = replace(RESULT, goal=Goal(8.0), note="the same loss")
    run = stored.Run(FACTS, "abc", (missed, replace(RESULT, goal=Goal(4.0), what="other")))
    page = stored.page([run])
    assert (
        "| training, batch 8 | mini | fixed padding | 1 (1 to 1) s/example | 5 (4 to 6) s/example | 5.00 × | ≥ 8 × | no |" in page
    )
    assert "| 5.00 × | ≥ 4 × | yes |" in page
    assert "- training, batch 8, mini: the same loss" in page
    assert "commit abc" in page
    assert page.count("| not measured |") == 3
    on_gpu = stored.Run(replace(FACTS, device="cuda (NVIDIA H200)"), "abc", (missed,))
    assert "not measured" not in stored.page([run, on_gpu])


def test_what_people_wrote_around_the_page_stays() -> None:
    run = stored.Run(FACTS, "abc", (RESULT,))
    written = f"# Speed\n\nWhy.\n\n{stored.BEGIN}\nold\n{stored.END}\n\n## Causes\n"
    page = stored.page([run], written)
    assert page.startswith("# Speed\n\nWhy.\n")
    assert page.endswith(f"{stored.END}\n\n## Causes\n")
    assert "old" not in page
    assert "| training, batch 8 |" in page
    assert stored.page([run], page) == page
    assert stored.page([run], stored.page([run])) == stored.page([run])


@pytest.mark.slow
def test_the_command_measures_stores_compares_and_renders(tmp_path: Path, run_cli: Callable[..., Printed]) -> None:
    arguments = ("greedy", "--quick", "--device", "cpu", "--threads", "1", "-o", str(tmp_path / "runs"))
    first = run_cli("bench", *arguments)
    assert first.code == 0, first.err
    assert "transformers generate" in first.out
    (file,) = (tmp_path / "runs").glob("*-quick.json")
    known = json.loads(file.read_text())
    known["results"][0]["value"] *= 100  # no machine is this much faster today
    file.write_text(json.dumps(known))
    again = run_cli("bench", *arguments, "--check")
    assert again.code == TrainingError.exit_code
    assert "more than 20 %: greedy, mini" in again.err
    assert json.loads(file.read_text()) == known
    page = tmp_path / "page.md"
    assert run_cli("bench", "--docs", str(page), "-o", str(tmp_path / "runs")).code == 0
    assert "| greedy, batch 32, at most 8 tokens | mini | transformers generate |" in page.read_text()
    unknown = run_cli("bench", "nothing")
    assert unknown.code == TrainingError.exit_code
    assert "There is no comparison 'nothing'. There are: training, decoding" in unknown.err


def test_ended_comments_end(model: CodeToText) -> None:
    assert all(EOS not in slow_beam_search(model, source, 2, 8, source_length=12).tokens for source in SOURCES)


def test_both_sides_of_a_bf16_row_train_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.bench import training

    seen: dict[str, set[torch.dtype]] = {"ours": set(), "theirs": set()}
    whose = ["ours"]
    logits = CodeToText.token_logits

    def spy(self: CodeToText, states: torch.Tensor) -> torch.Tensor:
        result = logits(self, states)
        seen[whose[0]].add(result.dtype)
        return result

    def padded_step(self: PaddedTrainer, batch: object) -> float:
        whose[0] = "theirs"
        try:
            return step(self, batch)  # type: ignore[arg-type]
        finally:
            whose[0] = "ours"

    step = PaddedTrainer.train_step
    monkeypatch.setattr(CodeToText, "token_logits", spy)
    monkeypatch.setattr(PaddedTrainer, "train_step", padded_step)
    ground = make_ground(bundle.folder(), "cpu", 1, quick=True)
    monkeypatch.setattr(ground, "model", lambda size: small_for(ground))
    with ground.training_in("bf16"):
        result = training._training(ground, "mini", 2)
    assert seen == {"ours": {torch.bfloat16}, "theirs": {torch.bfloat16}}
    assert (result.what, result.against) == (
        "training, batch 2, bf16",
        "fixed padding to 256 and 128 tokens, bf16",
    )
    assert ground.precision == "fp32", "the next comparison trains as before"


def small_for(ground: Ground) -> CodeToText:
    """A small model that knows the bundled model's words."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    return CodeToText(CodeToTextConfig(vocab_size=len(ground.reader), decoder_layers=1, decoder_ffn=64, **sizes))


def test_arithmetic_is_counted_attention_on_a_cpu_included() -> None:
    left, right = torch.ones(3, 5), torch.ones(5, 7)
    assert where.counted(lambda: left @ right) == 2 * 3 * 5 * 7
    query, key = torch.ones(2, 4, 6, 8, requires_grad=True), torch.ones(2, 4, 9, 8)
    forwards = 2 * 2 * 2 * 4 * 6 * 9 * 8  # two products of 2 operations each
    assert where.counted(lambda: nn.functional.scaled_dot_product_attention(query, key, key)) == forwards
    both = where.counted(lambda: nn.functional.scaled_dot_product_attention(query, key, key).sum().backward())
    assert both == forwards + 5 * forwards // 2  # the scores once more, and four products of gradients


def test_where_the_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "SQUARE", 64)
    monkeypatch.setattr(where, "COPIED", 10_000)
    ground = make_ground(bundle.folder(), "cpu", 1, quick=True)
    model = small_for(ground)
    monkeypatch.setattr(ground, "model", lambda size: model)
    (table,) = where.where(ground, "mini")
    what = [row[0] for row in table.rows]
    assert what[2:] == [
        "training step, batch 8", "encoder, batch 1", "decoder step, batch 1, beam 10", "encoder, batch 16",
        "decoder step, batch 16, beam 10",
    ]  # fmt: skip
    assert all(float(row[1]) > 0 and float(row[5]) > 0 for row in table.rows[2:])
    (source,) = ground.sources(1)
    layer = 4 * 32 * 32 + 2 * 32 * 64
    flops = 2 * len(source) * layer + 2 * 2 * len(source) ** 2 * 32
    assert float(table.rows[3][2]) == pytest.approx(flops / 1e9, rel=0.01)
    assert step_bytes(model) == 4 * (
        sum(each.numel() for each in model.decoder.parameters())
        - 2 * 32 * (32 + 1)  # what makes keys and values of the source
        + sum(each.numel() for each in model.dense.parameters())
        + len(ground.reader) * 32
        + sum(each.numel() for name, each in model.named_parameters() if name == "lm_head.bias")
    )


def test_one_thread_counts_the_processor_s_time_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, both = (make_ground(bundle.folder(), "cpu", 1, quick=True) for _ in range(2))
    both.threads = 2
    processor, wall = iter([1.0, 3.5]), iter([10.0, 90.0])
    monkeypatch.setattr("time.process_time", lambda: next(processor))
    monkeypatch.setattr("time.perf_counter", lambda: next(wall))
    assert (alone.timed(lambda: None), alone.clock_note) == (2.5, "processor time")
    assert (both.timed(lambda: None), both.clock_note) == (80.0, "")


def test_the_trainer_of_transformers_trains_the_same_loss(
    model: CodeToText, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = batch()
    with torch.no_grad():
        loss = peers.Peer(model)(input_ids=examples.sources, labels=examples.targets)["loss"]
        assert float(loss) == pytest.approx(float(model(examples.sources, examples.targets)), abs=1e-6)
    padded_rows = peers.Padding(PAD)(
        [{"input_ids": source, "labels": target} for source, target in zip(SOURCES, TARGETS, strict=True)]
    )
    assert torch.equal(padded_rows["input_ids"], examples.sources)
    assert torch.equal(padded_rows["labels"], examples.targets)
    ground = make_ground(bundle.folder(), "cpu", 1, quick=True)
    monkeypatch.setattr(ground, "model", lambda size: small_for(ground))
    before = small_for(ground).dense.weight.clone()
    trained: list[CodeToText] = []

    def recorded(model: CodeToText) -> nn.Module:
        trained.append(model)
        return peer(model)

    monkeypatch.setattr(peers, "Peer", recorded)
    (result,) = peers.peers(ground, "mini")
    assert result.value is not None
    assert result.value > 0
    assert result.note == "2 steps of each side, once, processor time"
    assert not torch.equal(trained[0].dense.weight, before)
    assert capsys.readouterr().out == ""


peer = peers.Peer


def test_devices_to_measure_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, ("cpu", "cuda")), (False, ("cpu",))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert devices() == expected
    assert devices("cuda:1") == ("cuda:1",)
    assert {name for name, _ in planned([], ["mini"], "cuda:1")} == set(ON_CUDA), "only what is for a GPU"


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """A bundle whose ruby-mini is tiny."""
    words = tokenizer()
    save_model(small_model(vocab_size=len(words), max_position_embeddings=130), words, tmp_path / "ruby-mini")
    (tmp_path / "demo-ruby").symlink_to(ROOT / "checkpoints" / "bundled" / "demo-ruby")
    return tmp_path


@pytest.mark.slow
def test_onnx_runtime_stands_beside_pytorch(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in runtimes.NEEDED:
        pytest.importorskip(needed, reason="the extra is not installed: pip install 'codeprune-tui[onnx]'")
    monkeypatch.setenv(DATA_VARIABLE, str(small_bundle / "demo-ruby"))
    results = list(suite.measure(suite.make_ground(small_bundle, "cpu", 1, quick=True), [(runtimes.NAME, "mini")]))
    assert [(result.what.partition(",")[0], result.against) for result in results] == [
        ("ONNX Runtime fp32", "PyTorch"),
        ("ONNX Runtime int8", "torch.ao dynamic INT8"),
        ("comment FILE.rb with ONNX Runtime fp32", "with PyTorch"),
    ]
    assert results[0].note == "the same comment for 16 of 16 rows"
    assert all(result.value is not None for result in results)


def test_without_the_extra_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    (result,) = suite.measure(suite.make_ground(tmp_path, "cpu", 1, quick=True), [(runtimes.NAME, "mini")])
    assert isinstance(result, Result)
    assert "not measured: the extra onnx is not installed" in " ".join(stored.cells(result))
