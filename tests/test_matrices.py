"""What the Layers screen knows of matrices, and the widgets' own arithmetic: from a run's view, without a terminal."""

import math
from dataclasses import replace

import pytest
from app_runs import NOW, a_round, beginning, matrices, measured, started, step, whole_run, with_figures

from codeprune_tui.views.matrices import (
    MEASURES,
    block_of,
    changes,
    complete,
    facts,
    history,
    in_every,
    missing,
    points,
    rounds,
    summary,
    telling,
    title,
    top,
    unit_facts,
    units_kept,
)
from codeprune_tui.views.matrices import matrices as matrices_of
from codeprune_tui.views.state import RunView, reduce, reduce_all
from codeprune_tui.widgets.blockmap import map_strips
from codeprune_tui.widgets.heatmap import TONES, _cell, columns_for
from codeprune_tui.widgets.layergrid import POOL, lay_out, neighbour
from core.run.events import Event, Happening, MatrixMeasured, Pruned, RoundFinished, RoundStarted, UnitScores
from core.spec.layout import Part, Place, locate

QUERY = "encoder.encoder.layer.1.attention.self.query.weight"


def view_of(events: list[Happening]) -> RunView:
    return reduce_all(RunView(), [Event(seq, NOW + seq, what) for seq, what in enumerate(events)])


def test_the_reducer_keeps_figures_by_round_and_logs_none_of_them() -> None:
    events = with_figures(whole_run())
    view = view_of(events)
    for number in range(4):
        assert set(view.by_round[number].figures) == set(matrices(0.0))
    assert view.by_round[2].figures[QUERY].round == 2
    assert not any("Measured" in line.text for line in view.log)
    one_by_one = RunView()
    for seq, what in enumerate(events):
        one_by_one = reduce(one_by_one, Event(seq, NOW + seq, what))
    assert one_by_one == view


def test_a_run_taken_up_again_forgets_the_figures_of_the_round_it_repeats() -> None:
    events = [*beginning(), *with_figures(a_round(0, 15.0)), *a_round(1, 14.0)[:-1], *measured(1, 0.3)]
    assert view_of(events).by_round[1].figures
    view = view_of([*events, started(resumed=True, round=1, step=20)])
    assert view.by_round[0].figures
    assert view.by_round[1].figures == {}


def test_figures_that_cannot_be_counts_are_damage() -> None:
    good = measured(0, 0.5)[0]
    for bad in (replace(good, kept=10**400), replace(good, rows=-1), replace(good, round=10**12), replace(good, dead_heads=-5)):
        view = view_of([*beginning(), bad])
        assert view.unreadable == 1
        assert view.by_round == {}


def test_units_kept_are_counted_where_units_were_pruned() -> None:
    heads, neurons = QUERY, "encoder.encoder.layer.1.intermediate.dense.weight"
    dense = [replace(measured(0, 0.0)[0], parameter=heads, rows=48, columns=48, kept=48 * 48, heads=12)]
    dense += [replace(dense[0], parameter=neurons, rows=3072, kept=48 * 3072, heads=0)]
    pruned = Pruned(round=1, sparsity=0.5, kept=1, total=2, matrices={heads: 0.416667, neurons: 0.833333}, seconds=1.0)
    events = [*beginning(), *dense, RoundStarted(round=1, sparsity=0.5, steps=9)]
    assert units_kept(view_of([*events, replace(pruned, unit="head+neuron")]), 1) == {heads: (7, 12), neurons: (512, 3072)}
    assert units_kept(view_of([*events, pruned]), 1) == {}
    assert units_kept(view_of([*beginning(), replace(pruned, unit="head+neuron")]), 1) == {}, "nothing was measured yet"


HEADS = UnitScores(
    kept=2, count=5, kept_scores=[0.5, 0.75, 1.0], pruned_scores=[-1e-9, 0.125, 0.25], each=[1.0, None, 0.25, 0.5, -1e-9],
    pruned=[1, 2, 4],
)  # fmt: skip


def test_the_scores_of_units_in_words() -> None:
    assert unit_facts(HEADS, "heads") == [
        ("units kept", "2 of 5 heads"),
        ("scores of kept", "0.75 (0.5 to 1)"),
        ("of pruned", "0.125 (−1e−09 to 0.25)"),
        ("each", "█·×▄×  × pruned now, · before"),
    ]
    assert unit_facts(UnitScores(kept=3072, count=3072, kept_scores=[math.nan, 1.0, 2.0], pruned_scores=[]), "neurons") == [
        ("units kept", "3,072 of 3,072 neurons")
    ]
    places: list[tuple[Part, str]] = [
        ("encoder", "query"),
        ("encoder", "ffn-out"),
        ("decoder", "self-out"),
        ("decoder", "cross-out"),
    ]
    names = [block_of(Place(part, 3, matrix)) for part, matrix in places]
    assert names == ["encoder 3 heads", "encoder 3 neurons", "decoder 3 heads", "decoder 3 cross heads"]
    assert block_of(Place("pooler", 0, "pooler")) == ""


def test_a_matrix_of_units_tells_their_scores_instead_of_what_is_dead() -> None:
    pruned = Pruned(round=1, sparsity=0.5, kept=1, total=2, matrices={QUERY: 0.6}, seconds=1.0, unit="head")
    events = [*beginning(), *measured(0, 0.0), replace(pruned, unit_scores={"encoder 1 heads": HEADS}), *measured(1, 0.6)]
    view = view_of(events)
    labels = [label for label, _ in facts(view, 1, matrices_of(view, 1)[QUERY])]
    assert labels[:5] == ["sparsity", "units kept", "scores of kept", "of pruned", "each"]
    assert not {"dead rows", "dead heads"} & {*labels}
    assert telling(view, 1) == "sparsity"


def test_a_cell_shows_units_as_far_as_they_fit() -> None:
    texts = [_cell(0.8, width, TONES, units=(512, 3072)).text for width in (9, 8, 4, 3)]
    assert texts == ["     512 ", "    512 ", "512 ", " … "], "two long numbers do not touch"
    assert _cell(0.8, 10, TONES, units=(512, 3072)).text == " 512/3072 "
    assert [_cell(0.8, width, TONES, units=(1536, 3072)).text for width in (6, 5, 4)] == [" 1536 ", "1536 ", " 1k "]
    assert _cell(0.4, 6, TONES, units=(7, 12)).text == " 7/12 "


def test_sparsity_its_gain_and_every_figure() -> None:
    view = view_of(with_figures(whole_run()))
    assert rounds(view) == [0, 1, 2, 3]
    matrix = matrices_of(view, 2)[QUERY]
    assert matrix.sparsity == pytest.approx(0.6, abs=1e-3)
    assert matrix.gained == pytest.approx(0.3, abs=1e-3)
    assert title(matrix) == "encoder layer 2, query"
    assert [measure.value(matrix) for measure in MEASURES.values()] == [matrix.sparsity, 0.021, 0.125, 0.75, None]
    assert dict(facts(view, 2, matrix)) == {
        "sparsity": "60 % (+30 points since round 1)",
        "kept": "1,638 of 64 × 64",
        "mean |w| of kept": "0.02100",
        "change": "12.5 %",
        "overlap": "75 %",
        "dead rows": "3 of 64",
        "dead columns": "4 of 64",
        "dead heads": "1 of 4",
    }
    assert history(view, QUERY)[2] == ("2", "60 %", "0.0210", "12.5 %", "75 %", "3", "4", "1")
    assert summary(matrices_of(view, 2)) == "87 rows, 116 columns, 8 of 32 heads are dead in the 29 matrices"


def test_an_older_run_has_sparsities_and_says_what_is_missing() -> None:
    view = view_of(whole_run())
    assert rounds(view) == [1, 2, 3]
    by_name = matrices_of(view, 1)
    assert by_name[QUERY].sparsity == 0.3
    assert by_name[QUERY].gained == 0.3  # round 0 is known to be dense
    assert missing(view, 1, MEASURES["sparsity"], by_name) == ""
    assert (
        missing(view, 1, MEASURES["overlap"], by_name) == "No overlaps: an older version ran this round and did not measure them."
    )
    assert facts(view, 1, by_name[QUERY])[1] == (
        "",
        "No other figures: an older version ran this round and did not measure them.",
    )
    assert summary(by_name) == ""
    assert history(view, QUERY)[0] == ("1", "30 %", *"––––––")


def test_a_round_whose_end_was_not_journalled_is_complete_once_the_next_begins() -> None:
    events = [*beginning(), *a_round(0, 15.0), *a_round(1, 14.0)[:-1]]
    assert not complete(view_of(events), 1)
    view = view_of([*events, *a_round(2, 13.0)[:3]])
    assert complete(view, 1)
    assert missing(view, 1, MEASURES["overlap"], matrices_of(view, 1)).startswith("No overlaps: an older version")
    assert not complete(view, 2)
    assert not complete(RunView(), 0)


def test_a_round_that_goes_on_says_that_figures_will_come() -> None:
    view = view_of([*beginning(), *with_figures(a_round(0, 15.0)), *a_round(1, 14.0)[:5], step(1, 3)])
    by_name = matrices_of(view, 1)
    assert missing(view, 1, MEASURES["change"], by_name) == "No changes yet: they are measured at the end of the round."
    dense = matrices_of(view, 0)
    assert missing(view, 0, MEASURES["overlap"], dense) == "No overlaps: round 0 has none before it."
    assert missing(view, 0, MEASURES["magnitude"], dense) == ""


def test_tones_of_magnitudes_run_to_the_largest_of_all_rounds() -> None:
    view = view_of(with_figures(whole_run()))
    assert top(view, MEASURES["magnitude"]) == 0.023
    assert top(view, MEASURES["overlap"]) == 1.0
    assert top(RunView(), MEASURES["magnitude"]) == 1.0


def test_numbers_that_are_none_are_shown_as_dashes() -> None:
    odd = replace(measured(1, 0.5)[0], magnitude=math.nan, change=math.inf, overlap=-math.inf)
    view = view_of([*beginning(), odd, RoundFinished(round=1, sparsity=0.5, scores=None, steps=1, seconds=1.0)])
    matrix = matrices_of(view, 1)[odd.parameter]
    assert [measure.value(matrix) for measure in MEASURES.values()] == [0.5, *[None] * 4]
    assert [text for label, text in facts(view, 1, matrix) if label in ("mean |w| of kept", "change", "overlap")] == ["–"] * 3


def test_parameters_that_stand_nowhere_are_left_out() -> None:
    odd = replace(measured(1, 0.5)[0], parameter="[bold]evil[/bold]")
    huge = replace(measured(1, 0.5)[0], parameter=f"encoder.encoder.layer.{'9' * 5000}.output.dense.weight")
    view = view_of([*beginning(), odd, huge])
    assert matrices_of(view, 1) == {}


def test_points() -> None:
    assert [points(value) for value in (None, 0.3, -0.125, 0.0)] == ["–", "+30", "−12.5", "+0"]


# The layout


def places(*, decoder: int = 2) -> dict[str, object]:
    return {name: locate(name) for name in matrices(0.0, 4, decoder)}


def test_the_layout_has_encoder_decoder_and_pooler() -> None:
    layout = lay_out(places(), 80)  # type: ignore[arg-type]
    assert layout.rows == (0, 1, 2, 3, POOL)
    assert layout.cells[1, 0] == QUERY
    assert layout.cells[1, 7] == "decoder.layers.1.linear2.weight"
    assert (2, 7) not in layout.cells
    assert layout.cells[4, 0] == "encoder.pooler.dense.weight"
    assert layout.left(7) + layout.columns.widths[7] <= 80


def test_columns_are_as_wide_as_their_units_where_there_is_room() -> None:
    units = {("encoder", 0, "query"): (10, 12), ("encoder", 1, "ffn-in"): (3072, 3072), ("decoder", 0, "self-out"): (9, 12)}
    encoder, decoder = ("query", "key", "value", "output", "ffn-in", "ffn-out"), ("self-out", "cross-out", "ffn-in", "ffn-out")
    units |= {(part, 0, name): (1536, 3072) for part in ("encoder", "decoder") for name in ("ffn-in", "ffn-out")}
    units |= {("encoder", 0, name): (12, 12) for name in ("key", "value", "output")} | {("decoder", 0, "cross-out"): (1, 12)}
    assert columns_for(encoder, decoder, 160, units).widths == (7, 7, 7, 7, 11, 11, 6, 6, 11, 11)
    close = columns_for(encoder, decoder, 90, units)
    assert (close.widths, close.gap) == ((6, 6, 6, 6, 11, 11, 5, 5, 11, 11), 6)
    assert sum(close.widths) + close.gap + 5 <= 90
    assert columns_for(encoder, decoder, 80, units).widths == (7,) * 10, "thousands are shortened instead"
    assert columns_for(encoder, decoder, 160, {}).widths == (9,) * 10


def test_the_cursor_moves_over_holes_and_stays_at_edges() -> None:
    layout = lay_out(places(), 80)  # type: ignore[arg-type]
    assert neighbour(layout, (0, 0), 1, 0) == (1, 0)
    assert neighbour(layout, (0, 0), -1, 0) == (0, 0)
    assert neighbour(layout, (0, 0), 0, -1) == (0, 0)
    assert neighbour(layout, (0, 5), 0, 1) == (0, 6)
    assert neighbour(layout, (2, 5), 0, 1) == (2, 5)  # the decoder has no third layer
    assert neighbour(layout, (1, 7), 1, 0) == (2, 5)  # nothing below: the nearest one there
    assert neighbour(layout, (3, 4), 1, 0) == (4, 0)  # the pooler
    assert neighbour(layout, (4, 0), 1, 0) == (4, 0)


# The block map


def a_matrix(density: list[list[int]], heads: int = 0) -> MatrixMeasured:
    return replace(measured(1, 0.5)[0], density=density, heads=heads, rows=32, columns=48)


def test_a_map_labels_rows_columns_and_heads() -> None:
    lines = [strip.text for strip in map_strips(a_matrix([[100, 7, 0], [50, 50, 50]]), 80, True)]
    assert [line.split() for line in lines] == [["0", "16", "32"], ["0", "0", "93", "×"], ["16", "50", "50", "50"]]
    by_row = [strip.text.split() for strip in map_strips(a_matrix([[1], [2], [3], [4]], heads=2), 80, True)]
    assert by_row == [["0"], ["h1", "99"], ["98"], ["h2", "97"], ["96"]]
    by_column = [strip.text.split() for strip in map_strips(a_matrix([[1, 2], [3, 4]], heads=2), 80, False)]
    assert by_column == [["h1", "h2"], ["0", "99", "98"], ["16", "97", "96"]]


@pytest.mark.parametrize("density", [[], [[]], [[], [1, 2]], [[1] * 5000] * 5000, [[-5, 10**300]]])
def test_a_damaged_map_is_drawn_as_far_as_it_goes(density: list[list[int]]) -> None:
    assert len(map_strips(a_matrix(density), 80, True)) <= 65


def test_a_map_of_sixteen_blocks_fits_eighty_columns() -> None:
    matrix = replace(a_matrix([[100] * 16] * 16), rows=3072, columns=3072)
    assert max(strip.cell_length for strip in map_strips(matrix, 80, True)) <= 80


def test_one_sparsity_everywhere_gives_way_to_changes_that_differ() -> None:
    view = view_of(with_figures(whole_run()))
    newest = max(view.by_round)
    assert telling(view, newest) == "sparsity", "changes are all the same, too"
    round_view = view.by_round[newest]
    figures = {name: replace(matrix, change=0.01 * place) for place, (name, matrix) in enumerate(round_view.figures.items())}
    uneven = replace(view, by_round={**view.by_round, newest: replace(round_view, figures=figures)})
    assert telling(uneven, newest) == "change"
    assert sorted(changes(uneven, newest).values()) == pytest.approx([0.01 * place for place in range(len(figures))])
    assert in_every(matrices_of(uneven, newest)) == "Every matrix is at 90 %."
    first = next(iter(figures))
    figures[first] = replace(figures[first], kept=0)
    uneven = replace(view, by_round={**view.by_round, newest: replace(round_view, figures=figures)})
    assert telling(uneven, newest) == "sparsity"
    assert in_every(matrices_of(uneven, newest)) == ""
