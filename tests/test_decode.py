"""Beam search against CodeXGLUE's golden results, and against a plain search written here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from test_model import small_model
from torch import Tensor

import core.decode
from core.decode import Hypothesis, beam_search, search_all, search_batches
from core.errors import ModelError
from core.families.config import BOS, EOS
from core.families.fitting import CPU_BATCH, MOST, batch_that_fits, example_bytes, fitting
from core.families.roberta import CodeToText
from core.model import load_model
from core.recipe import Search

GOLDEN = Path(__file__).parent / "golden" / "beam"
NAMES = ["random", "sketchy", "trained"]


@pytest.fixture(scope="module")
def models() -> dict[str, CodeToText]:
    return {name: load_model(GOLDEN / name) for name in NAMES}


def golden(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((GOLDEN / name / "cases.json").read_text())["cases"]
    return cases


def same(hypotheses: list[Hypothesis], tokens: list[list[int]], scores: list[float]) -> None:
    """Equal but for the order within groups of (nearly) equal scores; a group that the list cuts off may differ."""
    assert len(hypotheses) == len(tokens)
    assert [h.score for h in hypotheses] == pytest.approx(scores, abs=1e-4)
    start = 0
    for end in range(1, len(scores) + 1):
        if end == len(scores) or scores[end - 1] - scores[end] > 1e-4:
            if end < len(scores) or end - start == 1:
                assert sorted(h.tokens for h in hypotheses[start:end]) == sorted(map(tuple, tokens[start:end]))
            start = end


@pytest.mark.parametrize("name", NAMES)
def test_golden_cases(models: dict[str, CodeToText], name: str) -> None:
    for case in golden(name):
        beam, length = case["beam"], case["max_length"]
        everything = beam_search(models[name], case["sources"], beam=beam, max_length=length, n_best=beam)
        best = beam_search(models[name], case["sources"], beam=beam, max_length=length)
        for hypotheses, single, expected in zip(everything, best, case["expected"], strict=True):
            same(hypotheses, expected["nbest"], expected["scores"])
            assert list(hypotheses[0].tokens) == expected["best"]
            assert [list(h.tokens) for h in single] == [expected["best"]]
            assert single[0].score == pytest.approx(hypotheses[0].score, abs=1e-4)
            assert sum(h.finished for h in hypotheses) == min(beam, expected["finished"])


@pytest.mark.parametrize("name", NAMES)
def test_golden_number_of_steps(models: dict[str, CodeToText], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The full rule stops exactly when the reference does; the shortcut for the best one never later."""
    steps = []
    step = CodeToText.step
    monkeypatch.setattr(CodeToText, "step", lambda self, *arguments: steps.append(1) or step(self, *arguments))
    saved = 0
    for case in golden(name):
        for source, expected in zip(case["sources"], case["expected"], strict=True):
            taken = []
            for n_best in (case["beam"], 1):
                steps.clear()
                beam_search(models[name], [source], beam=case["beam"], max_length=case["max_length"], n_best=n_best)
                taken.append(len(steps))
            assert taken[0] == expected["steps"]
            assert taken[1] <= taken[0]
            saved += taken[0] - taken[1]
    assert saved > 0 or name == "random"


def plain_search(model: CodeToText, source: list[int], beam: int, length: int) -> list[Hypothesis]:
    """One source, no cache, no tensors but the logits: the rules as they stand in the module description."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    top_ended = False
    for _ in range(length):
        if top_ended and len(ended) >= beam:
            break
        candidates = []
        for score, tokens in live:
            if tokens[-1:] == (EOS,):
                continue
            likely = next_log_probabilities(model, source, [BOS, *tokens])
            # float32, as the search adds them: rounding decides between candidates that are almost equal
            candidates += [(total, (*tokens, word)) for word, total in enumerate((likely + score).tolist())]
        live = sorted(candidates, key=lambda item: -item[0])[:beam]
        ended += [item for item in live if item[1][-1] == EOS]
        top_ended |= live[0][1][-1] == EOS
    unfinished = [item for item in live if item[1][-1] != EOS]
    picked = sorted(ended or live[:1], key=lambda item: -item[0]) + unfinished
    finished = [tokens[-1] == EOS for _, tokens in picked]
    return [
        Hypothesis(tokens[:-1] if end else tokens, score, end) for (score, tokens), end in zip(picked, finished, strict=True)
    ][:beam]


@torch.no_grad()
def next_log_probabilities(model: CodeToText, source: list[int], written: list[int]) -> Tensor:
    ids = torch.tensor([source])
    x = model.decoder(
        model.encoder.embeddings(torch.tensor([written])), model.encode(ids).states, torch.ones(1, 1, 1, len(source)).bool()
    )
    out: Tensor = model.lm_head(torch.tanh(model.dense(x[0, -1]))).log_softmax(-1)
    return out


def chatty_model(seed: int, strength: float = 4.0) -> CodeToText:
    """A model with clear opinions that ends sentences at different lengths and also writes `<pad>`."""
    model = small_model(seed)
    with torch.no_grad():
        weight = model.encoder.embeddings.word_embeddings.weight
        weight.normal_(0, strength / 10, generator=torch.Generator().manual_seed(seed))
    return model


SOURCES = [[0, *range(5, 5 + length), 2] for length in (3, 11, 7, 20, 3, 1)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_equals_a_plain_search(seed: int, beam: int) -> None:
    model = chatty_model(seed)
    results = beam_search(model, SOURCES, beam=beam, max_length=14, n_best=beam, batch_size=4)
    best = beam_search(model, SOURCES, beam=beam, max_length=14, batch_size=3)
    for row, source in enumerate(SOURCES):
        expected = plain_search(model, source, beam, 14)
        same(results[row], [list(h.tokens) for h in expected], [h.score for h in expected])
        assert [h.finished for h in results[row]] == [h.finished for h in expected]
        assert best[row][0].tokens == results[row][0].tokens


def test_plain_search_meets_ends_and_padding() -> None:
    """The comparison above means something: sentences end early, late and never, and `<pad>` is written in the middle."""
    hypotheses = [h for seed in range(6) for source in SOURCES[:4] for h in plain_search(chatty_model(seed), source, 5, 14)]
    assert {h.finished for h in hypotheses} == {True, False}
    assert len({len(h.tokens) for h in hypotheses if h.finished}) > 3
    assert any(1 in h.tokens[:-1] for h in hypotheses)


def test_batches_change_nothing_but_rounding(models: dict[str, CodeToText]) -> None:
    sources = [source for case in golden("trained") for source in case["sources"]]
    together = beam_search(models["trained"], sources, beam=4, max_length=24, n_best=4, batch_size=64)
    for row, source in enumerate(sources):
        alone = beam_search(models["trained"], [source], beam=4, max_length=24, n_best=4)[0]
        same(together[row], [list(h.tokens) for h in alone], [h.score for h in alone])


def test_generator_gives_rows_longest_first_and_checks_at_once() -> None:
    model = small_model().train()
    batches = search_batches(model, SOURCES, Search(beam=2, max_length=5, batch_size=4))
    rows, hypotheses = next(batches)
    assert rows == [3, 1, 2, 0]
    assert model.training
    assert [row for rows, _ in batches for row in rows] == [4, 5]
    assert hypotheses[1] == beam_search(model, SOURCES, beam=2, max_length=5, batch_size=4)[1]
    with pytest.raises(ModelError, match="beam is 0"):
        search_batches(model, SOURCES, Search(beam=0, max_length=5))


def test_an_end_in_place_0_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done once place 0 has ended at any step and enough sentences have, not only when both happen together."""
    script = iter([{EOS: 0.6, 5: 0.3}, {6: 0.8, EOS: 0.1}])

    def step(_self: CodeToText, tokens: Tensor, _cache: object) -> Tensor:
        chances = torch.full((50,), 1e-6)
        for token, chance in next(script).items():
            chances[token] = chance
        return chances.log().expand(*tokens.shape, -1)

    monkeypatch.setattr(CodeToText, "step", step)
    hypotheses = beam_search(small_model(), [[0, 5, 2]], beam=2, max_length=9, n_best=2)[0]
    assert [(h.tokens, h.finished) for h in hypotheses] == [((), True), ((5,), True)]


def test_no_sources() -> None:
    assert beam_search(small_model(), [], beam=3, max_length=5) == []


def test_training_mode_and_gradients_come_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model().train()
    first = beam_search(model, SOURCES[:1], beam=2, max_length=5)
    assert first == beam_search(model.eval(), SOURCES[:1], beam=2, max_length=5)  # no dropout while decoding
    model.train()
    monkeypatch.setattr(CodeToText, "step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        beam_search(model, SOURCES[:1], beam=2, max_length=5)
    assert model.training
    assert model.encoder.training
    assert torch.is_grad_enabled()


def test_equal_scores_are_taken_in_order() -> None:
    for n in (50, 20_000):  # plain, and by chunks
        values = torch.zeros(3, n)
        values[0, 30], values[1, [7, 40, 5]] = 1.0, torch.tensor([2.0, 2.0, 3.0])
        values[2] = -torch.arange(n).float()
        largest, places = core.decode._top(values, 4)
        assert places.tolist() == [[30, 0, 1, 2], [5, 7, 40, 0], [0, 1, 2, 3]]
        assert largest[1].tolist() == [3.0, 2.0, 2.0, 0.0]


def test_largest_by_chunks_equal_a_full_sort() -> None:
    generator = torch.Generator().manual_seed(0)
    for levels in (5, 1000, 10**6):  # many, some and hardly any equal values
        values = torch.randint(0, levels, (4, 9_001), generator=generator).float()
        largest, places = core.decode._top(values, 10)
        expected = values.sort(dim=1, descending=True, stable=True)
        assert torch.equal(largest, expected.values[:, :10])
        assert torch.equal(places, expected.indices[:, :10])


def test_words_with_equal_chances_come_in_order_of_their_ids() -> None:
    model = small_model()
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight.zero_()  # every logit is 0
    hypotheses = beam_search(model, SOURCES[:1], beam=4, max_length=1, n_best=4)[0]
    assert [h.tokens for h in hypotheses] == [(), (0,), (1,), (3,)]
    assert [h.finished for h in hypotheses] == [True, False, False, False]


def test_beam_as_wide_as_the_vocabulary() -> None:
    model = small_model(vocab_size=12)
    hypotheses = beam_search(model, [[0, 5, 2]], beam=12, max_length=4, n_best=12)[0]
    expected = plain_search(model, [0, 5, 2], 12, 4)
    same(hypotheses, [list(h.tokens) for h in expected], [h.score for h in expected])


def test_half_precision_decodes() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        results = beam_search(chatty_model(1).to(dtype), SOURCES, beam=3, max_length=6, n_best=3)
        assert all(len(hypotheses) == 3 for hypotheses in results)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_model_without_numbers_is_refused(beam: int) -> None:
    model = small_model()
    model.dense.weight.data.fill_(torch.nan)
    with pytest.raises(ModelError, match=r"not a number \(NaN\).*load it in float32"):
        beam_search(model, SOURCES, beam=beam, max_length=5)


@pytest.mark.parametrize(
    ("sources", "changes", "message"),
    [
        ([[0, 2]], {"beam": 51}, r"beam is 51, but must be between 1 and 50 \(the vocabulary's size\)\. Choose another beam"),
        ([[0, 2]], {"max_length": 39}, r"max_length is 39, but must be between 1 and 38 \(the positions the model has\)"),
        ([[0, 2]], {"max_length": 0}, "max_length is 0"),
        ([[0, 2]], {"n_best": 3}, r"n_best is 3, but must be between 1 and 2 \(the beam\)"),
        ([[0, 2]], {"batch_size": -1}, r"batch_size is -1, but must be 0 or more"),
        ([[0, 2], []], {}, "Source 1 has 0 tokens, but the model reads between 1 and 38. Cut longer sources"),
        ([[5] * 39], {}, "Source 0 has 39 tokens"),
        ([[0, 7, 50, 2]], {}, "Source 0 holds token id 50, but the model's vocabulary ends at 49. Use the tokenizer"),
        ([[0, -1]], {}, "Source 0 holds token id -1"),
        ([[1, 1]], {}, "Source 0 holds nothing but padding"),
    ],
)
def test_what_cannot_be_decoded_is_refused(sources: list[list[int]], changes: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        beam_search(small_model(), sources, **{"beam": 2, "max_length": 5, **changes})


def test_longest_source_and_comment_fit() -> None:
    results = beam_search(small_model(), [[5] * 38], beam=2, max_length=38)
    assert len(results[0][0].tokens) <= 38


@pytest.mark.parametrize("name", NAMES)
def test_a_length_penalty_orders_the_finished_ones_by_score_over_length(models: dict[str, CodeToText], name: str) -> None:
    changed = 0
    for case in golden(name):
        settings = {"beam": case["beam"], "max_length": case["max_length"]}
        plain = beam_search(models[name], case["sources"], **settings, n_best=case["beam"])
        normed = beam_search(models[name], case["sources"], **settings, n_best=case["beam"], length_penalty=1.0)
        single = beam_search(models[name], case["sources"], **settings, length_penalty=1.0)
        for before, after, best in zip(plain, normed, single, strict=True):
            means = [h.score / (len(h.tokens) + 1) for h in after if h.finished]
            assert means == sorted(means, reverse=True)
            if after[0].finished:
                assert means[0] >= max(h.score / (len(h.tokens) + 1) for h in before if h.finished) - 1e-6
            assert best[0].tokens == after[0].tokens
            changed += before[0].tokens != after[0].tokens
    assert changed > 0 or name == "random"


def test_settings_in_one_piece_find_the_same(models: dict[str, CodeToText]) -> None:
    for case in golden("trained"):
        beam, length = case["beam"], case["max_length"]
        for penalty in (0.0, 1.0):
            loose = beam_search(
                models["trained"], case["sources"], beam=beam, max_length=length, n_best=beam, length_penalty=penalty
            )
            assert search_all(models["trained"], case["sources"], Search(beam, length, beam, 0, penalty)) == loose


def test_a_length_penalty_that_is_none_is_refused(models: dict[str, CodeToText]) -> None:
    for wrong in (-0.1, 11.0, float("nan")):
        with pytest.raises(ModelError, match="must be between 0 and 10"):
            beam_search(models["random"], [[0, 2]], beam=2, max_length=4, length_penalty=wrong)


# --- how many at a time


def test_a_batch_that_does_not_fit_is_halved(models: dict[str, CodeToText], monkeypatch: pytest.MonkeyPatch) -> None:
    model, whole = models["trained"], core.decode._decode
    sizes: list[int] = []

    def little_room(model: CodeToText, sources: Sequence[Sequence[int]], *rest: object) -> object:
        sizes.append(len(sources))
        if len(sources) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(model, sources, *rest)  # type: ignore[arg-type]

    expected = beam_search(model, SOURCES, beam=3, max_length=8, batch_size=2)
    monkeypatch.setattr(core.decode, "_decode", little_room)
    results = beam_search(model, SOURCES, beam=3, max_length=8, batch_size=7)
    assert [[h.tokens for h in each] for each in results] == [[h.tokens for h in each] for each in expected]
    assert [each[0].score for each in results] == pytest.approx([each[0].score for each in expected], abs=1e-5)
    assert sizes[0] == min(7, len(SOURCES))
    assert sizes[1:] == [3] + [1] * len(SOURCES)


def test_without_room_for_one_it_says_so(models: dict[str, CodeToText], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(core.decode, "_decode", no_room)
    with pytest.raises(ModelError, match=r"no room to decode even one source.*smaller beam"):
        beam_search(models["trained"], SOURCES, beam=3, max_length=8)


def test_free_memory_says_how_many(models: dict[str, CodeToText]) -> None:
    config = models["trained"].config
    assert batch_that_fits(config, torch.device("cpu"), 10, 48, 256) == CPU_BATCH
    each = example_bytes(config, 10, 48, 256)
    assert fitting(0, each) == 1
    assert fitting(20 * each, each) == 12
    assert fitting(10**15, each) == MOST
    assert example_bytes(config, 10, 48, 512) > each
    assert example_bytes(config, 20, 48, 256) > each
