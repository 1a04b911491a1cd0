"""The content of a report, computed once from run folders and ladder files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import RunError
from core.regularfile import real
from core.study.experiments import CURVES, EXPERIMENTS, Experiment
from core.study.findings import Finding, Recovery, findings, recoveries
from core.study.overlaps import Compared, overlaps
from core.study.runs import Group, Study, find_runs, read_study

from .ladder import Ladders, find_ladders, ladder_findings, read_ladders


@dataclass(frozen=True)
class Content:
    """The content that every form of the report is made from."""

    study: Study
    findings: tuple[Finding, ...]
    recoveries: tuple[Recovery, ...]
    overlaps: tuple[Compared, ...]
    ladders: Ladders

    @property
    def notes(self) -> list[str]:
        """What is missing: of the runs, and of the paper's experiments, if the report is about them."""
        run_notes = [f"{run.name}: {note}" for run in self.study.runs for note in run.notes]
        if not self.findings:
            return run_notes
        ladder = [] if self.ladders else ["There is no quantization ladder."]
        return [*run_notes, *filter(None, map(self._runs_missing, self.experiments)), *ladder]

    def _runs_missing(self, experiment: Experiment) -> str:
        """The curves of an experiment that have fewer finished runs than make it believable; "" if none has."""
        runs = {name: group for name in experiment.curves if (group := self.study.of_curve(name)) is not None}
        finished = {name: sum(run.is_complete for run in runs[name].runs) if name in runs else 0 for name in experiment.curves}
        short = [f"“{CURVES[name].title}” {count}" for name, count in finished.items() if count < experiment.seeds]
        lacks = f"{experiment.title} lacks runs; of {experiment.seeds} for each curve are finished: {', '.join(short)}."
        return lacks if short else ""

    def groups_of(self, experiment: Experiment) -> list[Group]:
        """The curves of an experiment that were run, in its order."""
        return [group for name in experiment.curves if (group := self.study.of_curve(name)) is not None]

    @property
    def others(self) -> list[Group]:
        """Curves of no experiment of the paper."""
        return [group for group in self.study.groups if group.curve is None]

    @property
    def experiments(self) -> list[Experiment]:
        """The paper's experiments in the order of its figures, then those that it has no figure of."""
        return sorted(EXPERIMENTS.values(), key=lambda each: (not each.figure, each.figure))


def read_content(places: Sequence[Path], ladder_files: Iterable[Path] = ()) -> Content:
    """Reads run folders and ladder files, and computes the content of a report.

    Args:
        places: Run folders, or folders of runs; ladder files that lie in them are found.
        ladder_files: Ladder files elsewhere.

    Returns:
        The content; its order does not depend on that of the arguments.

    Raises:
        RunError: A place holds neither a run nor a ladder file.
        DataError: A ladder file that was named cannot be read.
    """
    files = dict.fromkeys([*(real(path) for path in ladder_files), *find_ladders(places)])
    try:
        study = read_study(find_runs(places))
    except RunError:
        if not files:
            raise
        study = read_study(find_runs(place for place in places if not find_ladders([place])))
    ladders = read_ladders(files)
    all_findings = (*findings(study), *ladder_findings(ladders))
    return Content(study, all_findings, tuple(recoveries(study)), tuple(overlaps(study)), ladders)
