"""Reads what a report is made of: run folders and ladder files, and nothing else.

What is missing or damaged in a run costs that part only; `notes` say so. No path, host, time of day or order of arguments gets
into what is returned, so that copied folders give the same report.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core import significance, tally
from core.errors import CodepruneError, RunError
from core.experiments import CURVES, curve_of
from core.findings import Run, Runs
from core.overlap import Bits, read_bits
from core.predictions import Prediction, read_predictions
from core.recipe import parse_recipe
from core.results import Result, ResultsReader
from core.runs import RunPaths, run_folders

_ABSOLUTE = re.compile(r'= "(?:/|[A-Za-z]:\\)[^"\n]*?([^"/\\\n]*)"')
LADDER_ENDING = "-quantization.json"


@dataclass(frozen=True)
class RunMaterial:
    """One run as a report sees it."""

    name: str
    curve: str | None
    """One of `CURVES`; None for a run of no experiment of the paper."""
    seed: int
    recipe: str
    """As TOML; of absolute paths only the last part."""
    results: tuple[Result, ...]
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    """Split -> digest of its rows."""
    predictions: Mapping[int, tuple[Prediction, ...]] = field(default_factory=dict)
    """Round -> its comments."""
    masks: Mapping[int, Mapping[str, Bits]] = field(default_factory=dict)
    """Round -> its masks."""

    def level(self, number: int) -> int:
        """Sparsity of a round in whole percent."""
        return next(round(100 * found.sparsity) for found in self.results if found.round == number)

    @property
    def title(self) -> str:
        """What a legend says."""
        return CURVES[self.curve].title if self.curve else self.name


@dataclass(frozen=True)
class Material:
    """All that a report is made of."""

    runs: tuple[RunMaterial, ...]
    scored: Runs
    """The paper's curves, all on the same rows and draws."""
    rows: int
    """How many rows those are; 0 where there are no comments."""
    ladders: Mapping[str, Mapping[str, object]]
    """File name -> content."""
    notes: tuple[str, ...]
    """What is missing, in sentences."""


def gather(folders: Sequence[Path], ladders: Sequence[Path] = ()) -> Material:
    """Reads runs and ladder files.

    Args:
        folders: Run folders, or folders of runs.
        ladders: Ladder files besides those that lie in the folders.

    Returns:
        The material, runs by name.

    Raises:
        RunError: A folder holds neither a run nor runs nor a ladder file.
    """
    paths: dict[Path, RunPaths] = {}
    files = {path.resolve(): path for path in ladders}
    for folder in folders:
        inside = [RunPaths(folder)] if (folder / "recipe.toml").is_file() else run_folders(folder)
        beside = sorted(folder.glob(f"*{LADDER_ENDING}")) if folder.is_dir() else []
        if not inside and not beside:
            raise RunError(f"There is no run in {folder}.", "Give run folders, or a folder of runs such as checkpoints.")
        paths |= {each.root.resolve(): each for each in inside}
        files |= {path.resolve(): path for path in beside}
    notes: list[str] = []
    runs = tuple(sorted((_read(each, notes) for each in paths.values()), key=lambda run: run.name))
    scored, rows = _score(runs, notes)
    return Material(runs, scored, rows, _ladders(sorted(files.values(), key=lambda path: path.name), notes), tuple(notes))


def _read(paths: RunPaths, notes: list[str]) -> RunMaterial:
    name = paths.root.resolve().name
    results = tuple(ResultsReader(paths).poll())
    text, curve, seed = "", None, 0
    try:
        text = paths.recipe.read_text(encoding="utf-8")
        recipe = parse_recipe(text, name)
        curve, seed = curve_of(recipe), recipe.training.seed
    except (CodepruneError, OSError, ValueError) as error:
        notes.append(f"{name}: its recipe cannot be read ({type(error).__name__}).")
    meta = _json(paths.meta)
    predictions, masks = {}, {}
    for number in (found.round for found in results):
        if (said := read_predictions(paths.round(number) / "predictions.jsonl")) is not None:
            predictions[number] = said
        if bits := read_bits(paths.round(number) / "masks.safetensors"):
            masks[number] = bits
    for what, found in (("comments", predictions), ("masks", masks)):
        lacking = [str(result.round) for result in results if result.round not in found]
        if lacking:
            notes.append(f"{name}: no {what} of round {', '.join(lacking)}.")
    if not results:
        notes.append(f"{name}: no complete round.")
    shown = _ABSOLUTE.sub(lambda found: f'= "…/{found[1]}"', text)
    facts = _words(meta.get("versions")), _words(meta.get("data"))
    return RunMaterial(name, curve, seed, shown, results, str(meta.get("device", "")), *facts, predictions, masks)


def _score(runs: Iterable[RunMaterial], notes: list[str]) -> tuple[Runs, int]:
    """Scores each round of the paper's curves on the same rows and draws.

    Runs on other rows than most are left out, and so is a second run of the same curve and seed.
    """
    able = [run for run in runs if run.curve and run.predictions]
    rows = {(run.name, number): _rows(said) for run in able for number, said in run.predictions.items()}
    if not rows:
        return {}, 0
    common = max(Counter(rows.values()).items(), key=lambda found: (found[1], found[0]))[0]
    references = next([p.reference for p in run.predictions[number]]
                      for run in able for number in run.predictions if rows[run.name, number] == common)  # fmt: skip
    draws = significance.draw(len(references))
    scored: dict[str, dict[int, Run]] = {}
    tallies = _tallies([said for run in able for number, said in run.predictions.items() if rows[run.name, number] == common])
    for run in able:
        mine = scored.setdefault(str(run.curve), {})
        if run.seed in mine:
            notes.append(f"{run.name}: left out of the findings, another run has the same curve and seed.")
            continue
        levels = {
            run.level(number): tally.scores(next(tallies), draws)
            for number in run.predictions
            if rows[run.name, number] == common
        }
        if len(levels) < len(run.predictions):
            notes.append(f"{run.name}: left out of the findings, rounds scored on other rows than most runs.")
        if levels:
            mine[run.seed] = levels
    order = {name: scored[name] for name in CURVES if scored.get(name)}
    return order, len(references)
