"""Keeps up with what workers write, off the event loop: one run event by event, the list of runs as a whole.

Both threads look by `stat` a few times a second and publish only what changed; reading and reducing a journal of gigabytes
therefore never delays a key. Knows the client and the reducer, but no widget: a callback takes the news.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.regularfile import reason
from core.run.folder import RunInfo, RunPaths, State, is_held, run_folders, run_info, taken_at
from core.run.results import Result, ResultsReader

from ..views.state import RunView, reduce_all
from .client import Follower
from .grids import GridReader
from .sweeps import runs_by_sweep

POLL_S = 0.25
PAST_S = 0.25
"""Seconds between two updates while a journal is still being read."""
PROBE_S = 1.0
"""Seconds between two looks at the lock: a worker that died wrote nothing, so its journal doesn't show it."""

AWAY_S = 10.0
"""Seconds between two listings of runs while nobody looks at the list."""


@dataclass(frozen=True)
class Watched:
    """One run as it is known now."""

    paths: RunPaths
    view: RunView
    held: bool
    """Whether a worker lives."""
    caught_up: bool
    """Whether the journal's past has been read: what comes from now on is news."""
    killed: bool = False
    """Whether the last worker was killed on request."""
    queued: bool = False
    """Whether the run waits in a cluster's queue."""
    taken: float = 0.0
    """When the worker that lives took the run, seconds since 1970; 0 where that is not known."""


class Watcher(threading.Thread):
    """Follows one run until it is told to stop.

    Args:
        paths: The run.
        publish: Takes each new state; called in this thread.
        poll_s: Seconds between two looks at the journal.
    """

    def __init__(self, paths: RunPaths, publish: Callable[[Watched], None], poll_s: float = POLL_S) -> None:
        super().__init__(name=f"watch {paths.name}", daemon=True)
        self.paths = paths
        self._publish = publish
        self._poll_s = poll_s
        self._leave = threading.Event()

    def stop(self) -> None:
        """Ends the thread soon; nothing is published any more."""
        self._leave.set()

    def set_pace(self, poll_s: float) -> None:
        """Looks at the journal once in so many seconds from now on."""
        self._poll_s = poll_s

    def run(self) -> None:
        """Reads, reduces and publishes, once in `poll_s`."""
        follower, view, held, caught_up, probed = Follower(self.paths), RunView(), False, False, -PROBE_S
        killed = queued = False
        taken = 0.0
        published: Watched | None = None
        published_at = -PAST_S
        while not self._leave.is_set():
            if (now := time.monotonic()) - probed >= PROBE_S:
                # Before the journal: a worker that has ended wrote why first.
                held, killed, taken, probed = is_held(self.paths), os.path.lexists(self.paths.killed), taken_at(self.paths), now
                queued = not held and os.path.lexists(self.paths.queued)
            batch = follower.poll()
            view = reduce_all(view, batch)
            reading_the_past = bool(batch) and not caught_up
            caught_up = caught_up or not batch
            new = (
                published is None
                or view is not published.view
                or (held, caught_up, taken, queued) != (published.held, published.caught_up, published.taken, published.queued)
            )
            soon = reading_the_past and published is not None and now - published_at < PAST_S
            if new and not soon and not self._leave.is_set():
                published, published_at = Watched(self.paths, view, held, caught_up, killed, queued, taken), now
                self._publish(published)
            if not reading_the_past:
                self._leave.wait(self._poll_s)


@dataclass(frozen=True)
class Listing:
    """The list of runs as it is now."""

    runs: list[RunInfo] = field(default_factory=list)
    """Newest first."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Sweep -> how many of its runs have no folder yet."""
    problem: str = ""
    """Why there is no list; "" where there is one."""


class Lister(threading.Thread):
    """Lists the runs again and again, reading only those whose files changed.

    Args:
        checkpoints: Folder of the runs.
        clock: Seconds since 1970.
        publish: Takes the list when it has changed; called in this thread.
        example: A run from elsewhere that stands last in the list.
    """

    def __init__(
        self,
        checkpoints: Path,
        clock: Callable[[], float],
        publish: Callable[[Listing], None],
        example: RunPaths | None = None,
    ) -> None:
        super().__init__(name="list runs", daemon=True)
        self._checkpoints = checkpoints
        self._clock = clock
        self._publish = publish
        self._example = example
        self._leave = threading.Event()
        self._wake = threading.Event()
        self._period_s = PROBE_S
        self._known: dict[str, tuple[tuple[int, ...], RunInfo, int]] = {}

    def stop(self) -> None:
        """Ends the thread soon."""
        self._leave.set()
        self._wake.set()

    def set_front(self, front: bool) -> None:
        """Lists at once and often while the list is looked at, now and then while it isn't."""
        self._period_s = PROBE_S if front else AWAY_S
        if front:
            self._wake.set()

    def run(self) -> None:
        """Lists about once a second; more rarely where a listing is work, so that it never costs over a few percent.

        Its own work counts, not the time it took: on a machine whose cores all train, a short listing takes long.
        """
        published: Listing | None = None
        while not self._leave.is_set():
            begun = time.thread_time()
            try:
                news = self.scan(self._clock())
            except OSError as error:  # of the folder of all runs
                news = Listing(problem=f"{self._checkpoints} cannot be read: {reason(error)}.")
            if news != published and not self._leave.is_set():
                self._publish(news)
                published = news
            self._wake.wait(max(self._period_s, 50 * (time.thread_time() - begun)))
            self._wake.clear()

    def scan(self, now: float) -> Listing:
        """The runs as they are now.

        Args:
            now: Seconds since 1970.
        """
        known: dict[str, tuple[tuple[int, ...], RunInfo, int]] = {}
        for paths in self._folders():
            held = is_held(paths)
            stamp = (
                int(held),
                *(part for path in _looked_at(paths) for part in _stamp(path)),
            )
            before = self._known.get(paths.name)
            if before is not None and before[0] == stamp:
                known[paths.name] = (stamp, _aged(before[1], now), before[2])
            else:
                created = before[2] if before else _stamp(paths.recipe)[0]
                known[paths.name] = (stamp, run_info(paths, now), created)
        self._known = known
        newest_first = sorted(known.values(), key=lambda entry: (entry[1].paths == self._example, -entry[2], entry[1].paths.name))
        sweeps = runs_by_sweep(self._checkpoints)
        sweep_of = {run: sweep for sweep, runs in sweeps.items() for run in runs}
        infos = [info for _, info, _ in newest_first]
        missing = {sweep: number for sweep, runs in sweeps.items() if (number := sum(run not in known for run in runs))}
        return Listing([replace(info, sweep=sweep_of.get(info.paths.name, "")) for info in infos] if sweeps else infos, missing)

    def _folders(self) -> list[RunPaths]:
        runs = run_folders(self._checkpoints)
        if self._example is None or self._example.name in {paths.name for paths in runs}:  # names are keys here
            return runs
        return [*runs, self._example]


Compared = dict[str, tuple[Result, ...]]
"""Name -> the results that belong together, in the order of the chart."""


class Comparer(threading.Thread):
    """Reads the results of some runs again and again while somebody looks at them.

    Args:
        publish: Takes run name -> its complete rounds, and the same of quantized models, when either changed; called in this
            thread.
    """

    def __init__(self, publish: Callable[[Compared, Compared], None]) -> None:
        super().__init__(name="compare runs", daemon=True)
        self._publish = publish
        self._leave = threading.Event()
        self._wake = threading.Event()
        self._front = True
        self._runs: tuple[RunPaths, ...] = ()
        self._readers: dict[RunPaths, ResultsReader] = {}
        self._grids = GridReader()

    def stop(self) -> None:
        """Ends the thread soon."""
        self._leave.set()
        self._wake.set()

    def set_front(self, front: bool) -> None:
        """Reads only while the comparison is in front."""
        self._front = front
        self._wake.set()

    def set_runs(self, runs: tuple[RunPaths, ...]) -> None:
        """Compares other runs from now on."""
        if runs != self._runs:
            self._runs = runs
            self._wake.set()

    def run(self) -> None:
        """Reads about once a second."""
        published: tuple[Compared, Compared] | None = None
        while not self._leave.is_set():
            if self._front:
                self._readers = {paths: self._readers.get(paths) or ResultsReader(paths) for paths in self._runs}
                rounds = {paths.name: reader.poll() for paths, reader in self._readers.items()}
                news = rounds, self._grids.poll({paths: rounds[paths.name] for paths in self._readers})
                if news != published and not self._leave.is_set():
                    self._publish(*news)
                    published = news
            self._wake.wait(PROBE_S if self._front else None)
            self._wake.clear()


def _aged(info: RunInfo, now: float) -> RunInfo:
    return replace(info, state=State.STALE) if now > info.stale_from else info


def _looked_at(paths: RunPaths) -> tuple[Path, ...]:
    """The files whose change may change a run's line in the list."""
    return paths.lock, paths.journal, paths.rounds, paths.meta, paths.recipe, paths.queued


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def catch_up(paths: RunPaths) -> tuple[Follower, RunView]:
    """Reads what a run has written so far.

    Returns:
        A follower of what comes, and the run as it is now.
    """
    follower, view = Follower(paths), RunView()
    while events := follower.poll():
        view = reduce_all(view, events)
    return follower, view
