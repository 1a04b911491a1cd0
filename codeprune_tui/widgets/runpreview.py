"""The results of the run under the cursor: its scores by round, its floors, its last comments; on small screens, two lines.

The preview shows a run's view and reads nothing.
"""

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.run.results import ENCODER_OFF

from ..views.plain import plain
from ..views.state import RunView
from ..views.text import percent, score
from .figures import samples_text, scores_table
from .telling import retitle, tell

if TYPE_CHECKING:
    from .chart import ScoreChart

SAMPLES = 6
"""Methods whose comments are shown."""


class RunPreview(Vertical):
    """The preview."""

    def compose(self) -> ComposeResult:
        """The lines for small screens, the panes for large ones."""
        yield Static("", markup=False, id="chosen-line")
        with Horizontal(id="chosen-panes"), Vertical(id="chosen-text"):
            yield Static("", markup=False, id="chosen-scores")
            with VerticalScroll(id="chosen-comments", can_focus=False):
                yield Static("", markup=False, id="chosen-samples")

    def show(self, name: str, view: RunView, place: str = "") -> None:
        """Shows another run, or news of it.

        Args:
            name: The run's name, as it came.
            view: The results of the run so far.
            place: Where its worker is; "" for simply here.
        """
        tell(self.query_one("#chosen-line", Static), chosen_line(name, view, place))
        self._show_chart(name, view)
        tell(self.query_one("#chosen-scores", Static), scores_table(view))
        retitle(self.query_one("#chosen-scores"), "scores and floors")
        at, step = view.samples_at
        retitle(self.query_one("#chosen-comments"), f"comments, round {at}, step {step}" if view.samples else "comments")
        tell(self.query_one("#chosen-samples", Static), samples_text(view.samples, view.dense_samples, SAMPLES))

    def _show_chart(self, name: str, view: RunView) -> None:
        """Shows the scores by round; the chart is made for the first run that has any, for it takes as long as the whole app."""
        panes = self.query_one("#chosen-panes", Horizontal)
        if not (panes.is_mounted and panes.display) or self.query("#chosen-chart"):
            for chart in self.query("#chosen-chart").results():
                cast("ScoreChart", chart).show(view, plain(name, 100))
            return
        from .chart import ScoreChart

        score_chart = ScoreChart(id="chosen-chart")
        panes.mount(score_chart, before=0)
        score_chart.call_after_refresh(score_chart.show, view, plain(name, 100))


def chosen_line(name: str, view: RunView, place: str = "") -> Content:
    """A run in two lines: its whole name and its worker's place, and its last score with the scores to compare it with.

    Args:
        name: The run's name, as it came.
        view: The results of the run so far.
        place: Where its worker is; "" for simply here.
    """
    short = {ENCODER_OFF: "enc off"}  # 80 columns have room for no more
    floors = [f"{short.get(floor, floor)} {score(scores.chrf, 1)}" for floor, scores in view.floors.items()]
    last = f"{score(view.latest.chrf, 1)} at {percent(view.sparsity)}" if view.latest else "none yet"
    dense = [f"dense {score(view.dense.chrf, 1)}"] if view.dense else []
    return Content.assemble(
        "▸ ",
        (plain(name, 200), "bold"),
        (f"  {place}" if place else "", "$text-muted"),
        (f"\n  chrF {last} · {' · '.join([*dense, *floors])}".rstrip(" ·"), ""),
    )
