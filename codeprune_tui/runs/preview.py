"""The results of a run, read from its journal without the many steps: rounds, scores, floors, comments. In a thread of its own.

The list of runs shows them for the run under the cursor, whose journal may hold hundreds of thousands of steps. Reads no weights,
and knows no widgets: a callback takes the results.
"""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from core.run.events import Scores, from_line
from core.run.folder import RunPaths
from core.run.journal import LineReader
from core.run.results import MEASURES, Result, ResultsReader

from ..views.state import RoundView, RunView, reduce_all
from .logs import MANY
from .watch import PROBE_S

REMEMBERED = 50
"""Number of runs whose results are remembered: the cursor goes back and forth."""


class OutlineReader:
    """Reads the results of a run, round by round.

    Args:
        paths: The run; nothing of it need exist yet.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._lines = LineReader(paths.journal)
        self._view = RunView()

    def poll(self, leave: Callable[[], bool] = lambda: False) -> RunView:
        """The run so far; without steps, and so without losses.

        Args:
            leave: Whether nobody wants to know any more; what was read so far is kept.
        """
        while not leave() and (batch := self._lines.poll()):
            few = (line for line in batch if not any(name in line[:100] for name in MANY))
            self._view = reduce_all(self._view, map(from_line, few))
        if self._view.finished or self._lines.offset:
            return self._view
        return _of_results(self._view, ResultsReader(self._paths).poll())  # the journal is gone, its rounds may be there


def _of_results(view: RunView, results: tuple[Result, ...]) -> RunView:
    rounds = {
        result.round: RoundView(
            result.round, result.sparsity, scores=_scores(result.scores), seconds=result.seconds, finished=True
        )
        for result in results
    }
    floors = {name: _scores(scores) for result in results[-1:] for name, scores in result.floors.items()}
    return replace(view, by_round=rounds, rounds=max(rounds, default=0), floors=floors)


def _scores(scores: Mapping[str, float]) -> Scores:
    return Scores(**{measure: scores.get(measure, math.nan) for measure in MEASURES})


class Previewer(threading.Thread):
    """Reads one run at a time, and again while it is looked at.

    Args:
        publish: Takes the run and its results whenever they have changed; called in this thread.
    """

    def __init__(self, publish: Callable[[RunPaths, RunView], None]) -> None:
        super().__init__(name="preview a run", daemon=True)
        self._publish = publish
        self._paths: RunPaths | None = None
        self._readers: dict[RunPaths, OutlineReader] = {}
        self._leave = threading.Event()
        self._wake = threading.Event()

    def stop(self) -> None:
        """Ends the thread soon."""
        self._leave.set()
        self._wake.set()

    def set_run(self, paths: RunPaths | None) -> None:
        """Looks at another run from now on, or at none."""
        if paths != self._paths:
            self._paths = paths
            self._wake.set()

    def run(self) -> None:
        """Looks about once a second."""
        published: tuple[RunPaths, RunView] | None = None
        while not self._leave.is_set():
            if (paths := self._paths) is None:
                published = None  # whoever comes back is told anew
            else:
                reader = self._readers.setdefault(paths, OutlineReader(paths))
                view = reader.poll(lambda: self._paths is not paths)
                if (paths, view) != published and self._paths is paths:
                    published = (paths, view)
                    self._publish(*published)
                while len(self._readers) > REMEMBERED:
                    del self._readers[next(iter(self._readers))]
            self._wake.wait(None if paths is None else PROBE_S)
            self._wake.clear()
