"""The figures of masks, against counting by hand."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.compress.figures import BLOCKS, Before, Heads, change, collapse, dead, density, measure, overlap, sparse_bytes
from core.run.events import from_line, to_line

QUERY = "encoder.encoder.layer.0.attention.self.query.weight"
OUTPUT = "encoder.encoder.layer.0.attention.output.dense.weight"
FFN = "encoder.encoder.layer.0.intermediate.dense.weight"
CROSS = "decoder.layers.1.multihead_attn.out_proj.weight"
SELF = "decoder.layers.1.self_attn.out_proj.weight"


def heads(encoder: int, decoder: int) -> Heads:
    return Heads([encoder] * 2, [decoder] * 2, [decoder] * 2)


def random_mask(rows: int, columns: int, share: float, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_every_figure_equals_counting_by_hand(rows: int, columns: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask, old = random_mask(rows, columns, share, seed), random_mask(rows, columns, share, seed + 1)
    weight, before = (torch.randn(rows, columns, generator=generator) for _ in range(2))
    figures = measure(3, FFN, weight, mask, Before(old, before), (0, 0))
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    kept = [cell for cell in cells if mask[cell]]
    both, either = [cell for cell in kept if old[cell]], [cell for cell in cells if mask[cell] or old[cell]]
    assert (figures.round, figures.parameter, figures.rows, figures.columns, figures.kept) == (3, FFN, rows, columns, len(kept))
    assert figures.overlap == pytest.approx(len(both) / len(either) if either else 1.0, rel=1e-5)
    assert figures.dead_rows == sum(not any(mask[row, column] for column in range(columns)) for row in range(rows))
    assert figures.dead_columns == sum(not any(mask[row, column] for row in range(rows)) for column in range(columns))
    if kept:
        assert figures.magnitude == pytest.approx(sum(abs(float(weight[cell])) for cell in kept) / len(kept), rel=1e-5)
        moved = sum(float(weight[cell] - before[cell]) ** 2 for cell in kept)
        assert figures.change == pytest.approx(math.sqrt(moved / sum(float(before[cell]) ** 2 for cell in kept)), rel=1e-4)
    else:
        assert (figures.magnitude, figures.change) == (None, None)
    assert (figures.heads, figures.dead_heads) == (0, 0)
    assert from_line(to_line(0, 0.0, figures)).what == figures


@given(st.integers(1, 70), st.integers(1, 70), st.floats(0, 1), st.integers(0, 99))
def test_density_equals_counting_blocks_by_hand(rows: int, columns: int, share: float, seed: int) -> None:
    mask = random_mask(rows, columns, share, seed)
    sides = min(BLOCKS, rows), min(BLOCKS, columns)
    blocks = density(mask, sides)
    assert (len(blocks), len(blocks[0])) == sides
    for down in range(sides[0]):
        for across in range(sides[1]):
            block = mask[
                down * rows // sides[0] : (down + 1) * rows // sides[0],
                across * columns // sides[1] : (across + 1) * columns // sides[1],
            ]
            kept = float(block.double().mean())
            assert abs(blocks[down][across] - 100 * kept) <= 1
            assert (blocks[down][across] == 0) == (kept == 0)
            assert (blocks[down][across] == 100) == (kept == 1)
    assert all(type(value) is int for row in blocks for value in row)
    json.dumps(blocks)


def test_blocks_fall_on_heads() -> None:
    mask = torch.ones(48, 48, dtype=torch.bool)
    mask[4:8] = False  # the second of twelve heads
    rows = measure(0, QUERY, torch.ones(48, 48), mask, Before(), heads(12, 4).of(QUERY))
    assert (len(rows.density), len(rows.density[0])) == (12, 16)
    assert [set(row) for row in rows.density] == [{100}, {0}, *[{100}] * 10]
    assert (rows.heads, rows.dead_heads, rows.dead_rows, rows.dead_columns) == (12, 1, 4, 0)
    columns = measure(0, CROSS, torch.ones(48, 48), mask.T, Before(), heads(12, 4).of(CROSS))
    assert (len(columns.density), len(columns.density[0])) == (16, 16)
    assert (columns.heads, columns.dead_heads, columns.dead_rows, columns.dead_columns) == (4, 0, 0, 4)


def test_which_matrices_have_heads() -> None:
    of = heads(12, 8).of
    assert of(QUERY) == (12, 0)
    assert of(OUTPUT) == (12, 1)
    assert of(CROSS) == (8, 1)
    assert of(FFN) == of("encoder.pooler.dense.weight") == of("somewhere.else") == (0, 0)
    uneven = Heads([3, 0], [4, 2], [1, 5]).of
    names = (QUERY, QUERY.replace("layer.0", "layer.1"), SELF, CROSS)
    assert [uneven(name) for name in names] == [(3, 0), (0, 0), (2, 1), (5, 1)]


def test_heads_that_do_not_divide_the_matrix_are_not_counted() -> None:
    figures = measure(0, QUERY, torch.ones(10, 4), torch.zeros(10, 4, dtype=torch.bool), Before(), (3, 0))
    assert (figures.heads, figures.dead_heads, figures.dead_rows) == (0, 0, 10)


def test_overlap_of_equal_disjoint_and_empty_masks() -> None:
    mask = torch.tensor([[True, False], [True, False]])
    assert overlap(mask, mask) == 1.0
    assert overlap(mask, ~mask) == 0.0
    assert overlap(mask, torch.ones_like(mask)) == 0.5
    assert overlap(torch.zeros_like(mask), torch.zeros_like(mask)) == 1.0


def test_change_is_relative_to_the_weights_before_and_ignores_pruned_ones() -> None:
    mask = torch.tensor([[True, False]])
    assert change(torch.tensor([[3.0, 99.0]]), torch.tensor([[2.0, 1.0]]), mask) == pytest.approx(0.5)
    assert change(torch.tensor([[3.0, 99.0]]), torch.tensor([[0.0, 1.0]]), mask) is None


def test_a_weight_that_is_no_number_gives_no_figure() -> None:
    weight, mask = torch.tensor([[math.nan, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    assert measure(0, FFN, weight, mask, Before(None, weight), (0, 0)).magnitude is None


def test_measuring_changes_neither_tensors_nor_generators() -> None:
    mask, weight = random_mask(8, 8, 0.5), torch.randn(8, 8)
    state, copies = torch.get_rng_state(), (mask.clone(), weight.clone())
    numpy_state = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    measure(1, QUERY, weight, mask, Before(mask, weight), (2, 0))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # type: ignore[index]
    assert torch.equal(mask, copies[0])
    assert torch.equal(weight, copies[1])


def test_dead_slices() -> None:
    mask = torch.tensor([[False, False, False, False], [False, False, True, False]])
    assert (dead(mask, 2, 0), dead(mask, 4, 1), dead(mask, 2, 1), dead(mask, 1, 0)) == (1, 3, 1, 0)


def test_a_collapse_names_what_is_newly_gone() -> None:
    of = heads(2, 2).of
    before = torch.ones(4, 4, dtype=torch.bool)
    mask = before.clone()
    assert collapse({QUERY: mask}, {}, of) == ""
    mask[0] = False
    assert collapse({QUERY: mask}, {QUERY: before}, of) == f"1 row of {QUERY}"
    assert collapse({QUERY: mask}, {QUERY: mask}, of) == ""
    mask[:2] = False
    assert collapse({QUERY: mask, FFN: mask}, {}, of) == f"1 head and 2 rows of {QUERY}, 2 rows of {FFN}"
    assert collapse({QUERY: torch.zeros_like(mask)}, {}, of) == ""
    many = {f"encoder.encoder.layer.{layer}.output.dense.weight": mask for layer in range(5)}
    assert collapse(many, {}, of).endswith(", and of 2 more matrices")


@pytest.mark.parametrize(("sparsity", "share"), [(0.0, 1.0), (0.5, 0.53125), (0.8, 0.23125), (0.9, 0.13125)])
def test_bytes_as_bitmask_and_values(sparsity: float, share: float) -> None:
    prunable = 80_000
    assert sparse_bytes(prunable, prunable, round(prunable * (1 - sparsity))) == pytest.approx(4 * prunable * share)
    assert sparse_bytes(100_000, prunable, 0) == 4 * 20_000 + 10_000
