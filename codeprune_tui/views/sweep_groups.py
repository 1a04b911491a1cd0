"""Sweeps in the list of runs: how one stands, its line, and which runs stand below that line.

Data in, text out; knows no widgets and reads no files.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from core.run.folder import RunInfo, State

from .plain import plain
from .text import NOTHING, duration, runs_text, score, tone

FOLDED_FROM = 8
"""Runs from which on a sweep is folded until somebody unfolds it: with more of them a small screen would show nothing else."""
AT_WORK = (State.STARTING, State.RUNNING, State.STALE)


@dataclass(frozen=True)
class Standing:
    """How a sweep stands."""

    name: str
    infos: tuple[RunInfo, ...]
    """Its runs that have a folder."""
    missing: int
    """How many have none yet."""
    eta_s: float | None = None
    """Seconds until all are done if as many workers stay at work, from the rounds that are complete; None where no worker is at
    work, or no round complete."""
    best: tuple[str, float] | None = None
    """The run with the best BLEU of a round, and that BLEU."""

    @property
    def key(self) -> str:
        """Its key in a table of runs; no run has such a name."""
        return f".sweeps/{self.name}"

    @property
    def counts(self) -> dict[str, int]:
        """State, as it is shown -> how many runs; the states of most runs first."""
        counts = Counter(info.words.rstrip("…") for info in self.infos)
        if self.missing:
            counts["missing"] = self.missing
        return dict(counts.most_common())

    @property
    def at_work(self) -> tuple[RunInfo, ...]:
        """Its runs whose workers are at work."""
        return tuple(info for info in self.infos if info.state in AT_WORK)

    @property
    def paused(self) -> tuple[RunInfo, ...]:
        """Its runs that are paused."""
        return tuple(info for info in self.infos if info.state is State.PAUSED)

    @property
    def waiting(self) -> int:
        """How many of its runs have not begun, or wait in a cluster's queue."""
        return self.missing + sum(info.queued for info in self.infos)


def eta_s(infos: Sequence[RunInfo], missing: int, round_s: float | None) -> float | None:
    """Seconds until all runs of a sweep are done if as many workers stay at work.

    Args:
        infos: Its runs that have a folder.
        missing: How many have none yet.
        round_s: Seconds of a round; None where no round is complete.

    Returns:
        Seconds; None where that cannot be known.
    """
    at_work = sum(info.state in AT_WORK for info in infos)
    left = sum(max(0, info.rounds - info.round) for info in infos if info.state is not State.DONE)
    left += missing * (max((info.rounds for info in infos), default=0) + 1)
    return left * round_s / at_work if round_s is not None and at_work else None


def groups_of(infos: Sequence[RunInfo], missing: Mapping[str, int]) -> dict[str, Standing]:
    """The sweeps that listed runs belong to, as far as the list knows them.

    Args:
        infos: All runs.
        missing: Sweep -> how many of its runs have no folder yet.
    """
    runs: dict[str, list[RunInfo]] = defaultdict(list)
    for info in infos:
        if info.sweep:
            runs[info.sweep].append(info)
    return {name: _standing(name, of_one, missing.get(name, 0)) for name, of_one in runs.items()}


def _standing(name: str, infos: Sequence[RunInfo], missing: int) -> Standing:
    timed = [(info.round_s, info.round + 1) for info in infos if info.round_s is not None]
    rounds = sum(number for _, number in timed)
    round_s = sum(each * number for each, number in timed) / rounds if rounds else None
    scored = [(info.paths.name, info.best_bleu) for info in infos if info.best_bleu is not None]
    best = max(scored, key=lambda pair: pair[1], default=None)
    return Standing(name, tuple(infos), missing, eta_s(infos, missing, round_s), best)


def arranged(infos: Sequence[RunInfo], groups: Mapping[str, Standing], folded: Collection[str]) -> list[RunInfo | Standing]:
    """The lines of the list: a sweep stands where its first run would stand, its other runs below it unless it is folded.

    Args:
        infos: The runs in their order.
        groups: Sweep -> how it stands; runs of others stand alone.
        folded: The sweeps whose runs are hidden.
    """
    members: dict[str, list[RunInfo]] = defaultdict(list)
    for info in infos:
        members[info.sweep].append(info)
    lines: list[RunInfo | Standing] = []
    for info in infos:
        if info.sweep not in groups:
            lines.append(info)
        elif runs := members.pop(info.sweep, []):
            lines.append(groups[info.sweep])
            lines += [] if info.sweep in folded else runs
    return lines


def summary(at: Standing, width: int) -> str:
    """A sweep in one line: its states, its best BLEU, the time that is left; with signs for states where words do not fit.

    Args:
        at: How it stands.
        width: Terminal columns.
    """
    figures = [f"best {score(at.best[1])}"] if at.best is not None else []
    figures += [f"{duration(at.eta_s)} left"] if at.eta_s is not None else []
    words = " · ".join([states_text(at), *figures])
    if cell_len(words) <= width:
        return words
    signs = Counter(tone(info.words)[0] for info in at.infos) + Counter({tone("QUEUED")[0]: at.missing})
    # The sign of what waits is the dot that stands between words.
    text = "   ".join(["  ".join(f"{sign} {number}" for sign, number in signs.most_common()), *figures])
    return text if cell_len(text) <= width else f"{text[: max(0, width - 1)]}…"


def states_text(at: Standing) -> str:
    """How many runs are in which state: "8 DONE, 3 RUNNING"."""
    return ", ".join(f"{number} {state}" for state, number in at.counts.items())


def details(at: Standing) -> tuple[str, str]:
    """A sweep in two sentences, for below the list: its states; its best run, the time that is left, and where it is at work."""
    best = f"best BLEU {score(at.best[1])}, {plain(at.best[0], 60)}" if at.best is not None else f"best BLEU {NOTHING}"
    left = f"about {duration(at.eta_s)} left" if at.eta_s is not None else ""
    hosts = Counter(info.elsewhere or "this machine" for info in at.at_work)
    where = ", ".join(f"{count} on {plain(host, 30)}" for host, count in hosts.most_common(4))
    if len(hosts) > 4:
        where += f" and {len(hosts) - 4} other hosts"
    return f"{runs_text(len(at.infos) + at.missing)}: {states_text(at)}", " · ".join(
        filter(None, [best, left, f"at work: {where}" if where else ""])
    )
