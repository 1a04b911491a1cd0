"""Mode 3: the watched run matrix by matrix: a heatmap with a cursor, one matrix as a block map, and steps through rounds.

The screen shows what the worker journalled; runs of older versions lack most of it, and then the screen says so.
"""

import math
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from core.run.folder import RunPaths
from core.spec.layout import HEAD_COLUMNS

from ..frame import publish
from ..runs import beside, matrix_costs
from ..runs.beside import Beside
from ..runs.finder import Finder
from ..runs.matrix_costs import MatrixCosts
from ..views.matrices import (
    HISTORY,
    MEASURES,
    Matrix,
    complete,
    facts,
    history,
    in_every,
    matrices,
    measures,
    missing,
    rounds,
    summary,
    telling,
    title,
    top,
    units_kept,
)
from ..views.plain import plain
from ..views.state import RunView
from ..views.text import percent, with_before
from ..widgets.blockmap import BlockMap
from ..widgets.heatmap import NO_UNITS
from ..widgets.layergrid import LayerGrid
from ..widgets.telling import retitle
from .choose import ChooseOne
from .live import NO_RUN
from .mode import RUN_KEYS, ModeScreen, Target

PLAY_S = 0.8
"""Seconds for which each round is shown while rounds are played."""
NO_MATRICES = "Dense: nothing is pruned or measured yet."
NO_COSTS = "The cost of each matrix was not measured; the command below measures it."
NEW_LINE = ("", "mean |w| of kept", "dead rows", "scores of kept", "each")
"""Facts that begin a line of a narrow screen."""
COST = "cost"
"""The figure that no round measures: the cost of pruning half of a matrix, by `codeprune-tui sensitivity`."""
BESIDE = "beside"
"""The figure that takes another run: the overlap of both masks."""
LEAST = 76
"""Columns of the screen that all facts need to fit on four lines."""


class LookedUp(Message):
    """The costs of matrices, or another run's masks, were looked up."""


class LayersScreen(ModeScreen):
    """Every matrix of one run."""

    MODE = "layers"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"move({down}, {right})", show=False, id=f"layers.{key}")
            for key, down, right in (("up", -1, 0), ("down", 1, 0))
        ),
        *(
            Binding(key, f"move({down}, {right})", show=False, id=f"layers.{key}")
            for key, down, right in (("left", 0, -1), ("right", 0, 1))
        ),
        Binding("enter", "open", "Open", tooltip="Open the chosen matrix as a map of its blocks, or close it", id="layers.open"),
        Binding("escape", "close", "Back", id="layers.close"),
        Binding(
            "v",
            "measure",
            "Values",
            tooltip="Show sparsity, mean magnitude, change, mask overlap, error of the output or what half of a matrix costs",
            id="layers.measure",
        ),
        Binding(
            "b",
            "beside",
            "Beside",
            tooltip="Hold the masks against those of another run: overlap, dead rows and heads, errors of outputs",
            id="layers.beside",
        ),
        Binding(
            "left_square_bracket,shift+left",
            "step(-1)",
            "Earlier",
            key_display="[",
            tooltip="Go one round back and stay there",
            id="layers.earlier",
        ),
        Binding(
            "right_square_bracket,shift+right",
            "step(1)",
            "Later",
            key_display="]",
            tooltip="Go one round on; the last round follows the run",
            id="layers.later",
        ),
        Binding("space", "play", "Play", tooltip="Play through the rounds, or stop playing", id="layers.play"),
        *(replace(binding, show=False) for binding in RUN_KEYS if isinstance(binding, Binding)),
    ]
    DEFAULT_CSS = """
    LayersScreen {
        #body { height: 1fr; }
        LayerGrid, BlockMap, #facts, #history {
            border-top: solid $panel-lighten-2;
            border-title-color: $text-muted;
            background: $background;
            scrollbar-size: 1 1;
        }
        #pictures { height: 1fr; }
        #grid { width: 3fr; }
        BlockMap { width: 1fr; display: none; }
        #words { height: 5; }
        #chosen { width: 1fr; }
        #facts { height: 5; }
        #second { display: none; width: 1fr; }
        #history { display: none; }
        &.opened #grid { display: none; }
        &.opened BlockMap { display: block; }
        &.-tall #words { height: 1fr; }
        &.-tall #pictures { height: 20; }
        &.-tall #history { display: block; width: 72; height: 1fr; }
        &.-tall #facts { height: 1fr; }
        &.-tall.-wide #facts { height: 11; }
        &.-tall.-wide #second { display: block; height: 1fr; }
        &.-tall.-wide BlockMap { display: block; width: 72; }
        &.-tall.-wide.opened BlockMap { width: 1fr; }
        &.-tall.-narrow #words { layout: vertical; }
        &.-tall.-narrow #facts { height: 5; }
        &.-tall.-narrow #history { width: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._chosen_measure = ""
        """The figure that the user switched to; until then the one that tells most of the round is shown."""
        self._at: int | None = None
        """The round that the user stepped to; None follows the newest."""
        self._run = ""
        self._shown: tuple[object, ...] = ()
        self._playing: Timer | None = None
        self._costs = Finder(matrix_costs.find, self._publish)
        self._other: RunPaths | None = None
        """The run that this one is held against."""
        self._others = Finder(beside.find, self._publish)

    def body(self) -> ComposeResult:
        """Pictures above words."""
        yield Static(NO_RUN, markup=False, id="no-run")
        with Vertical(id="body"):
            with Horizontal(id="pictures"):
                yield LayerGrid(id="grid")
                yield BlockMap()
            with Horizontal(id="words"):
                with Vertical(id="chosen"):
                    yield Static("", markup=False, id="facts")
                    yield LayerGrid(id="second", has_cursor=False)
                with VerticalScroll(id="history", can_focus=False):
                    yield Static("", markup=False, id="history-text")

    def on_mount(self) -> None:
        """Names the panes; without a run there are none."""
        self.query_one("#history").border_title = "round by round; dead rows, columns, heads"
        self.add_class("-no-run")

    def on_resize(self) -> None:
        """Arranges the facts by the room there is."""
        self._shown = ()
        self.call_after_refresh(self.refresh_all)

    def on_screen_suspend(self) -> None:
        """Stops playing while nobody looks."""
        self._stop_playing()

    def target(self) -> Target | None:
        """The watched run."""
        watched = self.frame.watched
        return None if watched is None else Target(watched.paths, self.frame.standing())

    # What is shown

    def show_news(self) -> None:
        """Shows the run, or that there is none."""
        watched = self.frame.watched
        self.set_class(watched is None, "-no-run")
        if watched is None:
            return
        if watched.paths.name != self._run:
            self._run, self._at, self._other = watched.paths.name, None, None
            self._stop_playing()
        view, chosen = watched.view, self.query_one("#grid", LayerGrid).chosen
        answer = self._look_up(watched.paths, view)
        state = (view.by_round, self._at, self._measure, self._playing is not None, answer)
        if (*state, chosen) != self._shown:
            self._show(view, answer)
            self._shown = (*state, self.query_one("#grid", LayerGrid).chosen)

    def _look_up(self, paths: RunPaths, view: RunView) -> MatrixCosts | Beside | None:
        """What lies in files, for the figures that no journal has; None while it is looked up."""
        number = self._number(view)
        if self._measure == COST:
            return self._costs.ask(paths, number)
        if self._measure == BESIDE and self._other is not None and number in view.by_round:
            return self._others.ask(paths, number, view.by_round[number].sparsity, self._other)
        return None

    def show_time(self) -> None:
        """Looks the costs up again: somebody may measure them beside the app."""
        if self._measure == COST:
            self._costs.forget()
            self.refresh_all()

    def _publish(self) -> None:
        publish(self, LookedUp())

    def on_looked_up(self) -> None:
        """Shows the answer."""
        self.refresh_all()

    def _show_costs(self, view: RunView, costs: MatrixCosts) -> None:
        number = self._number(view)
        shown, grid, losses = matrices(view, number), self.query_one("#grid", LayerGrid), costs.losses
        places = {name: matrix.place for name, matrix in shown.items()}
        retitle(grid, plain(costs.title, 200))
        self._show_second(view, number)
        top = max([loss for loss in losses.values() if math.isfinite(loss)], default=0.0)
        grid.show(places, losses, top if top > 0 else 1.0, 10, "" if losses or not costs.command else NO_COSTS)
        words = self.query_one("#facts", Static)
        matrix = shown.get(grid.chosen)
        self._show_chosen(view, number, matrix)
        if not losses:
            words.border_title = "this command measures it, without training; Ctrl-C loses nothing"
            words.update(plain(costs.command, 2000) or "looking…")
        elif matrix is not None and (cell := costs.cells.get(matrix.parameter)) is not None:
            retitle(words, f"{title(matrix)}: {costs.of}")
            words.update(_facts(matrix_costs.facts(cell), matrix, width=self.app.size.width, wide=self._large))

    def _show_beside(self, view: RunView, other: Beside) -> None:
        """Shows how far the masks of this run and another overlap, and the figures of both."""
        number = self._number(view)
        shown, grid = matrices(view, number), self.query_one("#grid", LayerGrid)
        names = f"{plain(self._run, 40)} | {plain(other.run, 40)}"
        retitle(grid, f"overlap of masks %, round {number}: {percent(view.by_round[number].sparsity)}, {names}")
        note = plain(beside.summary(shown, other), 200) or "looking…"
        grid.show({name: matrix.place for name, matrix in shown.items()}, other.shares, 1.0, 100, note)
        self._show_second(view, number)
        matrix, words = shown.get(grid.chosen), self.query_one("#facts", Static)
        self._show_chosen(view, number, matrix)
        if matrix is not None:
            retitle(words, f"{title(matrix)}: {names}")
            words.update(_facts(beside.facts(matrix, other), matrix, width=self.app.size.width, wide=self._large))

    def _show(self, view: RunView, answer: MatrixCosts | Beside | None) -> None:
        if self._measure == COST:
            self._show_costs(view, answer if isinstance(answer, MatrixCosts) else MatrixCosts())
            return
        if self._measure == BESIDE and self._other is not None and rounds(view):
            self._show_beside(view, answer if isinstance(answer, Beside) else Beside(self._other.name))
            return
        number = self._number(view)
        shown = matrices(view, number)
        measure = MEASURES[self._measure]
        every = in_every(shown) if self._measure != "sparsity" else ""
        grid = self.query_one("#grid", LayerGrid)
        grid.border_title = self._title(view, number)
        grid.show(
            {name: matrix.place for name, matrix in shown.items()},
            {name: measure.value(matrix) for name, matrix in shown.items()},
            top(view, measure),
            measure.scale,
            (missing(view, number, measure, shown) or f"{every} {summary(shown)}".strip()) if shown else NO_MATRICES,
            units_kept(view, number) if self._measure == "sparsity" else NO_UNITS,
        )
        self._show_chosen(view, number, shown.get(grid.chosen))
        self._show_second(view, number)

    def _show_second(self, view: RunView, number: int) -> None:
        """Shows, on large screens, another figure of the matrices than the one above: sparsity, change or magnitude."""
        second = self.query_one("#second", LayerGrid)
        if second.display:
            shown = matrices(view, number)
            measure = MEASURES["sparsity" if self._measure != "sparsity" else "change" if number else "magnitude"]
            second.border_title = f"{measure.title}, round {number}"
            second.show(
                {name: matrix.place for name, matrix in shown.items()},
                {name: measure.value(matrix) for name, matrix in shown.items()},
                top(view, measure),
                measure.scale,
                missing(view, number, measure, shown) if shown else NO_MATRICES,
            )

    def _title(self, view: RunView, number: int) -> str:
        known = rounds(view)
        if not known:
            return "layers"
        sign = "▶ " if self._playing is not None else ""
        current = view.by_round[number]
        end = "" if complete(view, number) else ", not complete"
        share = with_before(current.sparsity, current.before)
        units = self._measure == "sparsity" and units_kept(view, number)
        what = "units kept" if units else MEASURES[self._measure].title
        return f"{sign}{what}, round {number}/{max(view.rounds, known[-1])}: {share}{end}"

    def _show_chosen(self, view: RunView, number: int, matrix: Matrix | None) -> None:
        words, block_map = self.query_one("#facts", Static), self.query_one(BlockMap)
        if matrix is None:
            words.update("")
            block_map.show(None, True, NO_MATRICES)
            return
        words.border_title = f"{title(matrix)}, round {number}"
        words.update(_facts(facts(view, number, matrix), matrix, width=self.app.size.width, wide=self._large))
        block_map.border_title = f"{title(matrix)}, round {number}: pruned % of each block, × all"
        block_map.show(
            matrix.measured,
            matrix.place.matrix not in HEAD_COLUMNS,
            missing(view, number, MEASURES["magnitude"], {}).replace("No magnitudes", "No block map"),
        )
        self.query_one("#history-text", Static).update(_history(view, number, matrix.parameter))

    @property
    def _measure(self) -> str:
        watched = self.frame.watched
        chosen = self._chosen_measure if self._chosen_measure != BESIDE or self._other is not None else ""
        if chosen or watched is None:
            return chosen or "sparsity"
        return telling(watched.view, self._number(watched.view))

    @property
    def _large(self) -> bool:
        return self.app.size.height >= 36 and self.app.size.width >= 120

    def _number(self, view: RunView) -> int:
        known = rounds(view)
        return self._at if self._at in known and self._at is not None else known[-1] if known else 0

    def on_layer_grid_moved(self) -> None:
        """Shows the figures of the matrix under the cursor."""
        self.refresh_all()

    def on_layer_grid_opened(self) -> None:
        """A second click opens the matrix."""
        self.action_open()

    # Keys

    def action_move(self, down: int, right: int) -> None:
        """Moves the cursor."""
        self.query_one("#grid", LayerGrid).move(down, right)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only keys with an effect: an opened matrix can be closed, and its map shows no other figures."""
        if action in ("open", "measure", "beside"):
            return not self.has_class("opened")
        return self.has_class("opened") if action == "close" else super().check_action(action, parameters)

    def on_key(self, event: Key) -> None:
        """Enter also closes the matrix that it has opened; its binding is not offered then."""
        if event.key == "enter" and self.has_class("opened"):
            event.stop()
            self.action_close()

    def action_open(self) -> None:
        """Opens the chosen matrix."""
        self.add_class("opened")
        self.refresh_bindings()

    def action_close(self) -> None:
        """Goes back to the heatmap."""
        self.remove_class("opened")
        self.refresh_bindings()

    def action_measure(self) -> None:
        """Shows the next figure."""
        watched = self.frame.watched
        beside_another = [BESIDE] if self._other is not None else []
        names = [*(measures(watched.view) if watched is not None else MEASURES), *beside_another, COST]
        at = names.index(self._measure) if self._measure in names else -1  # that of another run
        self._chosen_measure = names[(at + 1) % len(names)]
        self.refresh_all()

    def action_beside(self) -> None:
        """Asks for the run whose masks are held against this one's."""
        runs = {info.paths.name: info.paths for info in self.frame.runs or [] if info.kind == "lottery" and info.round >= 0}
        runs.pop(self._run, None)
        if not runs:
            self.frame.say("There is no other run with masks to hold this one against.", "warning")
            return
        names = {name: plain(name, 60) for name in runs}
        self.app.push_screen(
            ChooseOne("Hold the masks against those of which run, at equal sparsity?", names),
            lambda name: self._hold_against(runs[name]) if name is not None else None,
        )

    def _hold_against(self, other: RunPaths) -> None:
        self._other, self._chosen_measure = other, BESIDE
        self._others.forget()  # it may have gone on since the last look
        self.refresh_all()

    def action_step(self, by: int) -> None:
        """Goes one round on or back."""
        self._stop_playing()
        self._step(by)
        self.refresh_all()

    def action_play(self) -> None:
        """Plays from here, or from the first round if this is the last."""
        watched = self.frame.watched
        if self._playing is not None:
            self._stop_playing()
        elif watched is not None and (known := rounds(watched.view)):
            if self._number(watched.view) == known[-1]:
                self._at = known[0]
            self._playing = self.set_interval(PLAY_S, self._play)
        self.refresh_all()

    def _play(self) -> None:
        if not self._step(1):
            self._stop_playing()
        self.refresh_all()

    def _step(self, by: int) -> bool:
        """Goes to another round if there is one, and says whether it is not the last; the last one follows the run."""
        watched = self.frame.watched
        known = rounds(watched.view) if watched is not None else []
        if watched is None or not known:
            return False
        place = known.index(self._number(watched.view)) + by
        if 0 <= place < len(known):
            self._at = None if place == len(known) - 1 else known[place]
        return 0 <= place < len(known) - 1

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.stop()
            self._playing = None


def _facts(pairs: list[tuple[str, str]], matrix: Matrix, *, width: int, wide: bool) -> Content:
    name = Content.styled(plain(matrix.parameter, 100), "$text-muted")
    if wide:
        lines = [Content.assemble((f"{label:<17}", "$text-muted"), text) for label, text in pairs]
        return Content("\n").join([name, Content(""), *lines])
    lines = [name]
    if width < LEAST:  # too narrow: the title has the name, and the kept share follows from the sparsity
        lines, pairs = [], [(label, text) for label, text in pairs if label != "kept"]
    beginning = True
    for label, text in pairs:
        fact = Content.assemble((f"{label} " if label else "", "$text-muted"), text)
        if not beginning and label not in NEW_LINE and lines[-1].cell_length + 3 + fact.cell_length <= width:
            lines[-1] = lines[-1] + Content("   ") + fact
        else:
            lines.append(fact)
        beginning = False
    return Content("\n").join(lines)


def _history(view: RunView, number: int, parameter: str) -> Content:
    def line(texts: tuple[str, ...]) -> str:
        return "".join(f"{text:>9}" for text in texts)

    rows = [Content.styled(line(HISTORY), "$text-muted")]
    for texts in history(view, parameter):
        is_current = texts[0] == str(number)
        rows.append(Content.styled(f"{'▸' if is_current else ' '}{line(texts)[1:]}", "bold" if is_current else ""))
    return Content("\n").join(rows)
