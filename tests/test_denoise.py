"""Denoising: what is hidden can be put back, depends on the seed alone, and teaches a whole model."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pretrain import make, stop_and_resume

from core import worker
from core.families.config import SPECIAL
from core.model import is_finetuned, load_model
from core.recipe import load_recipe
from core.run.events import Validated
from core.run.journal import read_journal
from core.text.rows import load_rows
from core.train.denoise import COMMENT_REPEATS, HIDDEN_SHARE, Denoising, denoisings, hide_spans
from core.train.prepare import start_model

MASK = 99


def restored(source: list[int], target: list[int]) -> list[int]:
    """The text that source and target came from."""
    spans: list[list[int]] = []
    for token in target[1:-1]:
        if token == MASK:
            spans.append([])
        else:
            spans[-1].append(token)
    assert all(spans)
    assert source.count(MASK) == len(spans)
    return [token for part in source for token in (spans.pop(0) if part == MASK else [part])]


@given(st.lists(st.integers(4, 98), min_size=1, max_size=120), st.integers(0, 2**32 - 1))
def test_what_was_hidden_can_be_put_back(body: list[int], seed: int) -> None:
    ids = [0, *body, 2]
    source, target = hide_spans(ids, np.random.default_rng(seed), MASK, SPECIAL)
    assert (source[0], source[-1], target[0], target[-1]) == (0, 2, 0, 2)
    assert restored(source, target) == ids
    assert (source, target) == hide_spans(ids, np.random.default_rng(seed), MASK, SPECIAL)


def test_about_the_stated_share_is_hidden() -> None:
    rng, ids = np.random.default_rng(0), [0, *range(4, 84), 2]
    hidden = [sum(token != MASK for token in hide_spans(ids, rng, MASK, SPECIAL)[1][1:-1]) for _ in range(500)]
    # Spans that begin inside another are dropped, so somewhat less than the share.
    assert 0.8 * HIDDEN_SHARE < np.mean(hidden) / 80 <= HIDDEN_SHARE


def test_comments_are_written_from_code_and_texts_from_their_rest() -> None:
    pairs = denoisings([[0, 7, 2], [0, 2]], [[0, 8, 2], [0, 9, 2]], [[0, 7, 2, 8, 2], [0, 9, 2]])
    comment = Denoising([0, 8, 2], [0, 7, 2])
    assert pairs == [Denoising([0, 7, 2, 8, 2], None), Denoising([0, 9, 2], None), *[comment] * COMMENT_REPEATS]
    assert comment.draw(np.random.default_rng(0), MASK, SPECIAL) == ([0, 8, 2], [0, 7, 2])


def test_a_whole_model_is_pretrained_and_counts_as_such(tmp_path: Path) -> None:
    paths = make(tmp_path, objective="denoise")
    assert worker.main([str(paths.root)]) == 0
    losses = [event.what.loss for event in read_journal(paths.journal) if isinstance(event.what, Validated)]
    assert losses[1] < losses[0] < 6.1  # ln 400 is 5.99
    folder = paths.round(0)
    assert json.loads((folder / "config.json").read_text())["pretrained_only"] is True
    assert not is_finetuned(folder)
    again = load_model(folder, decoder_layers=5)
    assert again.config.decoder_layers == 1  # its own decoder, not a fresh one


def test_it_can_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = stop_and_resume(tmp_path, monkeypatch, objective="denoise")
    assert (parts.round(0) / "model.safetensors").read_bytes() == (whole.round(0) / "model.safetensors").read_bytes()


def test_a_model_that_was_fine_tuned_from_it_counts_as_fine_tuned(tmp_path: Path) -> None:
    pre = make(tmp_path, objective="denoise")
    assert worker.main([str(pre.root)]) == 0
    sections = {"kind": "finetune", "model": {"path": str(pre.round(0))}, "training": {"steps": 2, "dropout": 0.25}}
    fine = make(tmp_path, "fine", **sections)
    assert worker.main([str(fine.root)]) == 0
    assert is_finetuned(fine.round(0))
    assert load_model(fine.round(0)).config.decoder_dropout == 0.25


def test_a_new_model_starts_near_the_identity_and_from_its_seed(tmp_path: Path) -> None:
    recipe = load_recipe(make(tmp_path).recipe)
    train = load_rows(recipe.data.path, "train", limit=60)
    first, again = (start_model(recipe, train)[0] for _ in range(2))
    for name, weight in first.named_parameters():
        assert weight.equal(dict(again.named_parameters())[name]), name
    assert not first.encoder.encoder.layer[0].output.dense.weight.any()
