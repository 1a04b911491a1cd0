"""Mode 2: the watched run, live: heatmap, scores by round, loss, comments, log.

The screen shows the run's view and nothing else; every pane takes the whole view and repaints only what differs.
"""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from core.regularfile import real
from core.run.folder import RunPaths

from .. import bundle
from ..frame import ALIVE, SLOW_TICK_S, publish
from ..runs.machine import SAMPLE_S, Figures, MachineWatch, Worker, same_machine
from ..runs.preview import Previewer
from ..runs.watch import Watched
from ..views.encoder_verdict import warning
from ..views.loss_verdict import loss_sentence
from ..views.matrices import changes, telling, units_kept
from ..views.plain import plain
from ..views.series import titles
from ..views.state import RunView
from ..views.text import count, percent
from ..widgets.chart import ScoreChart
from ..widgets.figures import loss_title, machine_line, progress, ranks_line, samples_text, scores_line, scores_table
from ..widgets.heatmap import Heatmap
from ..widgets.runlog import RunLog
from ..widgets.serieschart import Charts
from ..widgets.spark import Spark
from ..widgets.telling import retitle, tell, tell_line, tell_verdict
from .choose import ChooseOne
from .live_keys import CHART_ACTIONS, LIVE_KEYS
from .mode import ModeScreen, Target

NO_RUN = Content.assemble(
    ("No run is open.\n\n", "bold"),
    "Press ",
    ("1", "bold"),
    ", choose a run and press Enter, or ",
    ("6", "bold"),
    " to start a new one.",
)


class MachineMeasured(Message):
    """The machine was measured again."""

    def __init__(self, worker: Worker, figures: Figures) -> None:
        super().__init__()
        self.worker = worker
        self.figures = figures


class ExampleRead(Message):
    """The example run has been read."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view = view


class LiveScreen(ModeScreen):
    """One run while it is at work."""

    MODE = "live"
    AUTO_FOCUS = "RunLog"
    BINDINGS: ClassVar[list[BindingType]] = [*LIVE_KEYS]

    def __init__(self) -> None:
        super().__init__()
        self._frozen: Watched | None = None
        self._shown: RunView | None = None
        self._machine = MachineWatch(self._measured)
        self._followed: Worker | None = None
        """The worker whose machine the thread measures."""
        self._example: RunView | None = None
        """The example run that the demo's first minutes show; read when it is needed."""
        self._previewer = Previewer(self._read_example)

    def body(self) -> ComposeResult:
        """The panes."""
        yield Static(NO_RUN, markup=False, id="no-run")
        yield Static("", markup=False, classes="encoder-verdict")  # above panes and charts alike
        with Vertical(id="body"):
            yield Static("", markup=False, id="loss-verdict")
            with Horizontal(id="top"):
                yield Heatmap(id="heatmap")
                yield ScoreChart(id="chart")
            with Horizontal(id="middle"):
                yield Static("", markup=False, id="scores")
                with Vertical(id="training"):
                    yield Static("", markup=False, id="progress")
                    yield Spark()
                    yield Static("", markup=False, id="machine")
                    yield Static("", markup=False, id="ranks")
            with Horizontal(id="bottom"):
                with VerticalScroll(id="samples", can_focus=True):
                    yield Static("", markup=False, id="samples-text")
                yield RunLog(id="log")
        yield Charts(id="charts")

    def on_mount(self) -> None:
        """Names the panes; without a run there are none."""
        self.query_one("#samples").border_title = "comments"
        self.query_one("#scores").border_title = "scores and floors"
        self.add_class("-no-run")
        self._machine.start()
        self._previewer.start()

    def on_unmount(self) -> None:
        """Ends the thread."""
        self._machine.stop()
        self._previewer.stop()

    def on_screen_suspend(self) -> None:
        """Stops measuring while nobody looks."""
        self._machine.follow(None)

    def on_resize(self) -> None:
        """Shows more in some panes if there is more room."""
        self._shown = None
        self.call_after_refresh(self.refresh_all)

    def show_news(self) -> None:
        """Shows the run in all panes, or that there is none."""
        watched = self.frame.watched
        if self._frozen is not None and (watched is None or watched.paths != self._frozen.paths):
            self._thaw()
        watched = self._frozen or watched
        self.set_class(watched is None, "-no-run")  # a class: an inline style would outdo the rule for tiny terminals
        if watched is not None and watched.view is not self._shown:
            self._shown = watched.view
            self._show(watched.view)
        if self._frozen is None:
            self._follow_machine()

    def _show(self, view: RunView) -> None:
        tell_verdict(self, warning(view.encoder_off.dense_less) if view.encoder_off is not None else "")
        if self.has_class("charts"):
            self.query_one(Charts).show(view)
        else:
            self._show_panes(view)

    def _show_panes(self, view: RunView) -> None:
        masked = view.masked
        tell_line(self.query_one("#loss-verdict", Static), loss_sentence(view, short=not self._tall))
        heatmap = self.query_one(Heatmap)
        was = f" (was {percent(masked.before)})" if masked and masked.before else ""  # as much as 80 columns have room for
        title, shares = "sparsity %", {} if masked is None else masked.matrices
        if masked is not None:
            title = f"sparsity %, round {masked.number}: {percent(masked.sparsity)}{was}"
            if telling(view, masked.number) == "change":
                title = f"change %, round {masked.number}; sparsity {percent(masked.sparsity)}{was} in every matrix"
                shares = {name: value for name, value in changes(view, masked.number).items() if value is not None}
        units = units_kept(view, masked.number) if masked is not None else {}
        if masked is not None and units:
            title, shares = f"units kept, round {masked.number}; sparsity {percent(masked.sparsity)}{was}", masked.matrices
        note = "Dense: nothing is pruned yet."
        if masked is not None and masked.entries is not None:
            note = f"{count(masked.entries[0])} of {count(masked.entries[1])} entries of the vocabulary are left"
            title = f"{title}; vocabulary {count(masked.entries[0])}/{count(masked.entries[1])}" if shares else title
        retitle(heatmap, title)
        heatmap.show(shares, note, units)
        self._show_scores(view)
        tell(self.query_one("#scores", Static), scores_table(view) if self._tall else scores_line(view))
        tell(self.query_one("#progress", Static), progress(view))
        tell(self.query_one("#ranks", Static), ranks_line(view))
        self.query_one("#ranks").display = bool(view.ranks)
        retitle(self.query_one("#training"), loss_title(view))
        self.query_one(Spark).show(view.losses.points)
        samples = self.query_one("#samples")
        at, step = view.samples_at
        retitle(samples, f"comments, round {at}, step {step}" if view.samples else "comments")
        most = 6 if self._tall else 2
        tell(self.query_one("#samples-text", Static), samples_text(view.samples, view.dense_samples, most))
        self.query_one(RunLog).show(view.log)

    # The demo's first minutes

    def _show_scores(self, view: RunView) -> None:
        """Shows the run's scores; until a demo run has some, those of the example, under the example's name."""
        paths = self.frame.watched.paths if self.frame.watched is not None else None
        example = bundle.example() if paths is not None and self._is_first_demo(paths, view) else None
        if example is None or self._example is None:
            self._previewer.set_run(example)
            self.query_one(ScoreChart).show(view)
        else:
            self.query_one(ScoreChart).show(self._example, bundle.EXAMPLE, "an example, not your run")

    def _is_first_demo(self, paths: RunPaths, view: RunView) -> bool:
        demo = self.frame.demo and paths.name.startswith(f"{bundle.DEMO}-")
        return demo and not bundle.is_read_only(paths) and view.latest is None

    def _read_example(self, paths: RunPaths, view: RunView) -> None:
        publish(self, ExampleRead(view))

    def on_example_read(self, message: ExampleRead) -> None:
        """Keeps the example run: it never changes."""
        self._example = message.view
        self._previewer.set_run(None)
        if self._shown is not None:
            self._show_scores(self._shown)

    # Charts

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers the keys of charts only while charts are shown."""
        there = self.has_class("charts")
        return there or (action not in CHART_ACTIONS and (action != "leave_charts" or self.maximized is not None))

    def action_charts(self) -> None:
        """Shows two series as charts in place of the panes, or the panes again."""
        self.minimize()
        self.toggle_class("charts")
        self._shown = None
        self.refresh_all()
        self.set_focus(self.query_one(Charts).chosen if self.has_class("charts") else self.query_one(RunLog))
        self.refresh_bindings()

    def action_leave_charts(self) -> None:
        """Back to both charts, then to the panes."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.action_charts()

    def action_series(self, by: int) -> None:
        """Shows the next series in the chosen chart."""
        self.query_one(Charts).next_series(by)

    def action_choose_series(self) -> None:
        """Asks which series to show in the chosen chart."""
        known = titles(self._shown or RunView())
        self.app.push_screen(ChooseOne("Which series?", {key: plain(title, 100) for key, title in known.items()}), self._choose)

    def _choose(self, key: str | None) -> None:
        if key is not None:
            self.show_series(key)

    def show_series(self, key: str) -> None:
        """Shows a series in the chosen chart.

        Args:
            key: One of `series.titles`.
        """
        if not self.has_class("charts"):
            self.action_charts()
        self.query_one(Charts).choose(key)

    def action_chart_zoom(self, by: int) -> None:
        """Zooms the chosen chart in around its cursor, out, or (0) out to the whole."""
        self.query_one(Charts).chosen.zoom(by)

    def action_chart_pan(self, by: int) -> None:
        """Moves the zoomed part of the chosen chart."""
        self.query_one(Charts).chosen.pan(by)

    def action_chart_move(self, by: int) -> None:
        """Moves the chosen chart's cursor."""
        self.query_one(Charts).chosen.move(by)

    # The machine

    def _follow_machine(self) -> None:
        """Measures the worker's machine if it is this one; else says why it is not measured."""
        watched, self._followed, why = self.frame.watched, None, ""
        state = self.frame.standing()
        if watched is None or state.split(" ")[0] not in ALIVE:
            why = "no figures of the machine: the run has no worker"
        elif state == "STARTING…" or not watched.view.pid:
            why = "the worker is starting"
        elif not same_machine(watched.view.host):
            why = f"no figures of the machine: the worker runs on {plain(watched.view.host, 30)}"
        else:
            self._followed = Worker(watched.view.pid, real(watched.paths.root), watched.view.gpus)
        if why:
            self._show_machine(Content.styled(why, "$text-muted"))
        self._machine.period_s = SLOW_TICK_S if self.frame.slow else SAMPLE_S
        self._machine.follow(self._followed if self.is_current else None)

    def _measured(self, worker: Worker, figures: Figures) -> None:
        publish(self, MachineMeasured(worker, figures))

    def on_machine_measured(self, message: MachineMeasured) -> None:
        """Shows figures, unless the view is frozen or they are of a worker that is no longer looked at."""
        if message.worker == self._followed and self._frozen is None:
            self._show_machine(machine_line(message.figures))

    def _show_machine(self, content: Content) -> None:
        tell(self.query_one("#machine", Static), content)

    @property
    def _tall(self) -> bool:
        return self.app.size.height >= 36

    def target(self) -> Target | None:
        """The watched run."""
        watched = self.frame.watched
        return None if watched is None else Target(watched.paths, self.frame.standing())

    def action_freeze(self) -> None:
        """Freezes the view, or thaws it."""
        if self._frozen is not None:
            self._thaw()
            self.refresh_all()
        elif self.frame.watched is not None:
            self._frozen = self.frame.watched
            self.add_class("frozen")
            self.query_one("#top").border_title = ""
            self.frame.say("The view is frozen; the run goes on. Press f again to catch up.")

    def _thaw(self) -> None:
        self._frozen = None
        self.remove_class("frozen")

    def action_other(self) -> None:
        """Shows the log or the comments, if only one of them fits."""
        self.toggle_class("show-samples")

    def action_whole_log(self) -> None:
        """Opens the run's logs on the whole screen."""
        from .log import LogScreen

        if self.frame.watched is None:
            self.frame.say("No run is open, so there is no log. Choose one under 1 Runs.", "warning")
        else:
            self.app.push_screen(LogScreen(self.frame.watched.paths))

    def action_zoom(self) -> None:
        """Enlarges the focused pane, or puts it back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)
