"""Sweeps: one recipe and what varies make many recipes, each with its seed and its name.

A sweep is validated as a whole before anything of it is made: a key that no recipe has, a combination that cannot be, two runs of
one name are errors here. Knows neither folders nor processes, nor where the runs will be made. Torch-free.
"""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ..errors import RecipeError
from ..program import program
from ..recipe import Recipe, Section, build_recipe
from ..regularfile import TOML_BYTES, parse_toml, read_text, reason
from ..run.folder import NAME_PATTERN
from .experiments import Planned

MOST_RUNS = 10_000
"""More runs than this are a slip in a list, not a plan."""
SEED = "training.seed"
LINE = r"^[ -~]*$"
"""What can stand in a line of a job script: no line break, nothing that a terminal would obey."""
PLACE = re.compile(r"\{([^{}]*)\}")
IN_WORDS = {
    "name": "letters, digits, '.', '-' and '_', beginning with a letter or digit, 100 at most",
    "names": "plain letters, digits and signs",
    "slurm.time": 'a time limit such as "24:00:00", "2-00:00:00" or, in minutes, "90"',
    "slurm.memory": 'an amount such as "8G"',
    "seeds": "a list of whole numbers, such as [0, 1, 2]",
    "cases": "tables, each below a line [[cases]]",
}
"""Key of a sweep file -> what it may be, where pydantic has no good words for it."""

Read = TypeVar("Read")
Settings = Mapping[str, object]
"""Dotted key -> value."""


class Slurm(Section):
    """What each run asks of Slurm; read only with --on slurm."""

    time: str = Field(default="24:00:00", pattern=r"^\d+(-\d{1,2})?(:\d{1,2}){0,2}$")
    """Time limit of a run, as sbatch takes it: minutes, hours:minutes:seconds, or days-hours:minutes:seconds. Two minutes before
    it the run saves a checkpoint and is queued again, so that it may be shorter than the run."""
    partition: str = Field(default="", pattern=LINE)
    """Partition; empty for the cluster's default."""
    account: str = Field(default="", pattern=LINE)
    """Account; empty for the user's default."""
    gres: str = Field(default="", pattern=LINE)
    """Generic resources, such as gpu:1; empty for none."""
    cpus: int = Field(default=1, ge=1, le=1024)
    """CPU cores of a run."""
    memory: str = Field(default="", pattern=r"^(\d+[KMGT]?)?$")
    """Memory of a run, such as 8G; empty for the cluster's default."""
    throttle: int = Field(default=0, ge=0)
    """Most runs at a time; 0 = as many as the cluster lets in."""
    lines: tuple[str, ...] = ()
    """Further options of sbatch, such as ["--constraint=a100", "--qos=low"]."""

    @model_validator(mode="after")
    def _lines_are_options(self) -> Self:
        for line in self.lines:
            if not line.startswith("-") or not re.match(LINE, line):
                raise ValueError(f'{line!r} is no option of sbatch in one line, such as "--constraint=a100"')
        return self


class Ray(Section):
    """What each run asks of Ray; read only with --on ray."""

    cpus: int = Field(default=1, ge=1, le=1024)
    """CPU cores of a run."""
    gpus: float = Field(default=0, ge=0, le=64)
    """GPUs of a run; 0.5 lets two runs share one."""


class Clusters(Section):
    """The tables of a sweep file that say what a run asks of a cluster."""

    slurm: Slurm = Slurm()
    ray: Ray = Ray()


class Sweep(Section):
    """Everything a sweep file says."""

    name: str = Field(pattern=rf"^{NAME_PATTERN.pattern}$")
    """Name of the sweep: letters, digits, dot, dash, underscore."""
    recipe: str = Field(min_length=1)
    """Recipe that all runs have in common: a file, from where the sweep file lies, or the name of a bundled recipe."""
    names: str = Field(default="", pattern=LINE)
    """Names of the runs, with {sweep}, {seed}, {number} and any varied key, such as {pruning.scope}, in braces; empty for
    the sweep's name, the varied values and the seed."""
    seeds: tuple[int, ...] = ()
    """Values of training.seed: every combination is made with each. None given: the recipe's own."""
    set: dict[str, object] = Field(default_factory=dict)
    """Keys of the recipe that are the same in all runs."""
    grid: dict[str, object] = Field(default_factory=dict)
    """Key of the recipe -> list of its values; all combinations are made."""
    cases: tuple[dict[str, object], ...] = ()
    """Tables of keys that change together; each is combined with the whole grid."""
    slurm: Slurm = Slurm()
    ray: Ray = Ray()


TEMPLATE = """\
# A sweep: one recipe, and what varies. What it would make: codeprune-tui sweep run FILE --dry-run
name = "scopes"
# Recipe that all runs have in common: a file, from where this one lies, or a bundled recipe such as "demo".
recipe = "demo"
# Values of training.seed: every combination is made with each.
seeds = [0, 1, 2]
# Names of the runs; without this line the sweep's name, the varied values and the seed.
# names = "{sweep}-{pruning.scope}-{rewind.to}-s{seed}"

# Keys of the recipe that are the same in all runs.
[set]
training.threads = 1

# All combinations of these values are made.
[grid]
pruning.scope = ["layerwise", "global"]

# Keys that change together: each table is combined with the whole grid.
[[cases]]
rewind.to = "finetuned"
training.batch_size = 8

[[cases]]
rewind.to = "pretrained"
training.batch_size = 16

# What each run asks of Slurm; read only with --on slurm.
[slurm]
time = "24:00:00"        # two minutes before it a run saves a checkpoint and is queued again
cpus = 1
# partition = "gpu"
# account = "me"
# gres = "gpu:1"
# memory = "8G"
# throttle = 8           # most runs at a time
# lines = ["--constraint=a100"]

# What each run asks of Ray; read only with --on ray.
[ray]
cpus = 1
# gpus = 1
"""


def template() -> str:
    """A commented sweep file."""
    return TEMPLATE.replace("codeprune-tui", program())


def load_clusters(path: Path) -> Clusters:
    """Reads the tables [slurm] and [ray] of a file, whatever else is in it.

    Raises:
        RecipeError: The file cannot be read, is no TOML, or its tables have keys or values that they must not have.
    """
    return _read(path, lambda given: Clusters.model_validate({key: given[key] for key in Clusters.model_fields if key in given}))


def load_sweep(path: Path) -> Sweep:
    """Reads and validates a sweep file.

    Args:
        path: A TOML file.

    Returns:
        The sweep; its runs are validated by `plan_sweep`.

    Raises:
        RecipeError: The file cannot be read, is no TOML, or has keys or values that a sweep has not.
    """
    return _read(path, Sweep.model_validate)


def _read(path: Path, validate: Callable[[dict[str, object]], Read]) -> Read:
    write_one = f"Write one with: {program()} sweep --template > sweep.toml"
    try:
        given = parse_toml(read_text(path, TOML_BYTES))
    except OSError as error:
        raise RecipeError(f"Cannot read the sweep {path}: {reason(error)}.", write_one) from error
    except ValueError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.", write_one) from error
    try:
        return validate(given)
    except ValidationError as error:
        problems = dict.fromkeys(_sentence(details) for details in error.errors(include_url=False))
        raise RecipeError("\n".join(f"{path}: {problem}" for problem in problems)) from error


def plan_sweep(sweep: Sweep, recipe: Mapping[str, object], name: str) -> list[Planned]:
    """The runs of a sweep, first seeds first, so that every comparison has one early.

    Args:
        sweep: The sweep.
        recipe: The recipe that they have in common, as its file gives it; presets are filled in after the sweep's keys.
        name: What errors call the sweep, usually its path.

    Returns:
        One validated recipe a run, in the order in which they are to be made.

    Raises:
        RecipeError: The sweep asks for what cannot be; one line a problem, with a run that has it.
    """
    fixed, grid, cases = _flat(sweep.set), _flat(sweep.grid), [_flat(case) for case in sweep.cases]
    varied = list(dict.fromkeys([*grid, *(key for case in cases for key in case)]))
    if problems := [*_twice(sweep, fixed, grid, cases), *_no_lists(grid), *_too_many(sweep, grid), *_no_places(sweep, varied)]:
        raise RecipeError("\n".join(f"{name}: {problem}" for problem in problems))
    pattern = sweep.names or "-".join(["{sweep}", *(f"{{{key}}}" for key in varied), *(["s{seed}"] if sweep.seeds else [])])
    planned: list[Planned] = []
    refused: dict[str, list[str]] = {}
    number = -1
    for number, settings in enumerate(_combinations(sweep, fixed, grid, cases)):
        words = _in_words(settings, [*varied, *([SEED] if sweep.seeds else [])])
        try:
            built = build_recipe(_with(recipe, settings), "", strict=True)
        except RecipeError as error:
            for problem in error.problem.splitlines():
                refused.setdefault(problem.removeprefix(": "), []).append(words)
            continue
        run = _name(pattern, sweep.name, number, {**settings, SEED: built.training.seed})
        if not NAME_PATTERN.fullmatch(run):
            refused.setdefault(f"{run!r} cannot be the name of a run; choose others with names", []).append(words)
        planned.append(Planned("", built.training.seed, built, run))
    if problems := [*_refusals(refused, number + 1), *_same_names(planned)]:
        raise RecipeError("\n".join(f"{name}: {problem}" for problem in problems))
    return planned


def _flat(given: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Dotted keys, however the file writes them: `pruning.scope`, "pruning.scope" or a table [grid.pruning]."""
    flat: dict[str, object] = {}
    for key, value in given.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def _combinations(sweep: Sweep, fixed: Settings, grid: Settings, cases: Sequence[Settings]) -> Iterator[dict[str, object]]:
    values = [value if isinstance(value, list) else [value] for value in grid.values()]
    for seed in sweep.seeds or (None,):
        for case in cases or ({},):
            for chosen in itertools.product(*values):
                combination = {**fixed, **case, **dict(zip(grid, chosen, strict=True))}
                yield combination if seed is None else {**combination, SEED: seed}


def _with(recipe: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """The recipe's tables with some keys replaced; what is in its way is replaced, too, and refused by the validation."""
    given = {key: dict(value) if isinstance(value, dict) else value for key, value in recipe.items()}
    for key, value in settings.items():
        table, _, name = key.rpartition(".")
        owner = given.setdefault(table, {}) if table else given
        if isinstance(owner, dict):
            owner[name] = value
    return given


def _name(pattern: str, sweep: str, number: int, settings: Settings) -> str:
    places: dict[str, object] = {**settings, "sweep": sweep, "number": number, "seed": settings[SEED]}
    return PLACE.sub(lambda match: _as_name(places.get(match[1], "none")), pattern)


def _as_name(value: object) -> str:
    """A value as a part of a folder's name: of a path its end."""
    text = str(value).lower() if isinstance(value, bool) else Path(value).name if isinstance(value, str) else str(value)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def _in_words(settings: Settings, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} = {settings[key]!r}" for key in keys if key in settings)


# --- what is wrong with a sweep, in sentences


def _sentence(details: ErrorDetails) -> str:
    """One of pydantic's findings with its key, what is allowed, and the nearest valid name."""
    *tables, last = (str(part) for part in details["loc"])
    key = ".".join([*tables, last])
    if details["type"] == "missing":
        return f"{key} is missing"
    if details["type"] == "extra_forbidden":
        sections: dict[str, type[Section]] = {"slurm": Slurm, "ray": Ray}
        known = list(sections.get(tables[0] if tables else "", Sweep).model_fields)
        near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
        return f'unknown key "{key}"; ' + (f'did you mean "{near[0]}"?' if near else f"allowed here: {', '.join(known)}")
    if details["type"] == "value_error":
        return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    allowed = IN_WORDS.get(key, IN_WORDS.get(key.partition(".")[0], details["msg"][:1].lower() + details["msg"][1:]))
    return f"{key} = {str(details['input'])[:80]!r} is not allowed; allowed: {allowed}"


def _twice(sweep: Sweep, fixed: Settings, grid: Settings, cases: Sequence[Settings]) -> list[str]:
    in_cases = dict.fromkeys(key for case in cases for key in case)
    places = [("set", fixed), ("grid", grid), ("cases", in_cases), ("seeds", {SEED: 0} if sweep.seeds else {})]
    return [
        f"{key} stands in {one} and in {other}; leave it in one of them"
        for (one, keys), (other, others) in itertools.combinations(places, 2)
        for key in keys
        if key in others
    ]


def _no_lists(grid: Settings) -> list[str]:
    return [
        f'grid.{key} = {value!r} is no list of values, such as ["layerwise", "global"]'
        for key, value in grid.items()
        if not isinstance(value, list) or not value
    ]


def _too_many(sweep: Sweep, grid: Settings) -> list[str]:
    lengths = [len(value) for value in grid.values() if isinstance(value, list)]
    runs = math.prod([len(sweep.seeds) or 1, len(sweep.cases) or 1, *lengths])
    return [f"these are {runs:,} runs; allowed: {MOST_RUNS:,}"] if runs > MOST_RUNS else []


def _no_places(sweep: Sweep, varied: Sequence[str]) -> list[str]:
    known = ["sweep", "seed", "number", SEED, *varied, *_flat(sweep.set)]
    unknown = [place for place in PLACE.findall(sweep.names) if place not in known]
    allowed = ", ".join(f"{{{key}}}" for key in known)
    return [f"names has {{{place}}}, which does not vary; allowed: {allowed}" for place in unknown]


def _refusals(refused: Mapping[str, Sequence[str]], count: int) -> Iterator[str]:
    for problem, runs in refused.items():
        yield problem if len(runs) == count else f"{problem} ({len(runs)} of {count} runs, the first with {runs[0]})"


def _same_names(planned: Sequence[Planned]) -> Iterator[str]:
    first: dict[str, Recipe] = {}
    for run in planned:
        if run.name in first:
            why = "their recipes are the same" if first[run.name] == run.recipe else "put what differs, or {number}, into names"
            yield f"two runs are called {run.name}: {why}"
            return
        first[run.name] = run.recipe
