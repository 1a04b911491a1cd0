"""The costs of a recipe in words: schedule, steps, disk and time. Pure functions from data to text.

No number is a guess: a time names the runs that it was measured on, and the text says which costs are not known.
"""

from core.recipe import Recipe
from core.spec.costs import DiskNeed
from core.spec.schedule import entries_words, sparsities, speedups
from core.study.timings import Estimate, trained_rounds

from ..views.form import schedule_text, total_steps
from ..views.plain import plain
from ..views.text import count, duration, percent
from .costing import Costs
from .unit_speeds import Foreseen

SCHEDULE = "sparsity by round"
MOST_ROUNDS = 30
"""Most rounds whose speed is listed."""
START = "the start model"
LOOKING = "looking…"
UNMEASURED = (
    "not known: no run with this kind, model, data, lengths, batch size, device and threads was measured on this machine yet"
)


def size(size_bytes: int) -> str:
    """Bytes as disks count them: "22 MB", "1.3 GB"."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if size_bytes >= unit:
            value = size_bytes / unit
            return f"{value:.1f} {name}" if value < 10 and name != "MB" else f"{value:,.0f} {name}"
    return f"{size_bytes / 1000:,.0f} kB"


def parts(recipe: Recipe, costs: Costs | None) -> list[tuple[str, str]]:
    """Heading and text of each part of the summary.

    Args:
        recipe: The recipe.
        costs: Its costs, or None while they are looked up.
    """
    shares = sparsities(recipe) if costs is None or costs.shares is None else costs.shares
    schedule = [(SCHEDULE, schedule_text(shares, 30))] if recipe.rounds else []
    if schedule and recipe.pruning.budget == "latency":
        schedule = [("speed by round", " → ".join(f"{each:.2f}" for each in speedups(recipe)[:MOST_ROUNDS]) + " × dense")]
    if schedule and not recipe.pruning.masked:
        schedule = []
    if entries := entries_words(recipe):
        schedule = [*schedule, ("vocabulary from round 1 on", entries)]
    start = [(START, "\n".join(plain(warning, 300) for warning in costs.warnings))] if costs and costs.warnings else []
    return [
        *schedule,
        *start,
        *([("shrunk model", shrunk(recipe, costs))] if costs and costs.need and recipe.rounds and recipe.pruning.shrink else []),
        ("steps", steps(recipe)),
        ("disk", LOOKING if costs is None else disk(recipe, costs)),
        ("time", LOOKING if costs is None else time(recipe, costs.estimate)),
    ]


def shrunk(recipe: Recipe, costs: Costs) -> str:
    """About how many weights a shrunk model will have, and how fast it will be, as far as that can be known."""
    need, foreseen, pruning = costs.need, costs.foreseen, recipe.pruning
    if pruning.budget == "latency":
        if foreseen is None:
            return f"{pruning.speedup:g} × as fast as dense; its size is known once the run has measured what units cost"
        if foreseen.speed < pruning.speedup:
            return f"at most {foreseen.speed:.2f} × as fast as dense, without any of these units, {_measured(foreseen)}"
        size = _weights(need, foreseen.parameters)
        return f"{pruning.speedup:g} × as fast as dense, {size} if all layers lose alike, {_measured(foreseen)}"
    size = _weights(need, need.shrunk if need else None)
    if foreseen is None:
        return f"{size}; how fast it is will be measured at the end"
    return f"{size}, about {foreseen.speed:.1f} × as fast as dense, {_measured(foreseen)}"


def _measured(foreseen: Foreseen) -> str:
    return f"by what units cost at batch {foreseen.batch} in {plain(foreseen.run, 40)}"


def _weights(need: DiskNeed | None, parameters: int | None) -> str:
    left, all_ = parameters or 0, max(1, need.parameters if need else 1)
    return f"about {left / 1e6:.1f} of {all_ / 1e6:.1f} million weights ({percent(round(left / all_, 2))})"


def line(costs: Costs | None) -> str:
    """Disk and time in one line for the bottom of the form."""
    if costs is None:
        return f"disk and time: {LOOKING}"
    idle = next((f"{warning.split(':')[0]} · " for warning in costs.warnings if " prunes nothing " in warning), "")
    if costs.need is None:
        where = f"{idle}disk unknown"
    else:
        full = costs.free_bytes is not None and costs.need.peak > costs.free_bytes
        where = f"{idle}disk {size(costs.need.total)}" + (f", but only {size(costs.free_bytes or 0)} free" if full else "")
    estimate = costs.estimate
    if estimate is None:
        return f"{where} · time not measured yet"
    if estimate.total_s is None:
        return f"{where} · training {duration(estimate.training_s)}, evaluation not measured; {_source(estimate)}"
    return f"{where} · {_most(estimate)} {duration(estimate.total_s)}, {_source(estimate)}"


def steps(recipe: Recipe) -> str:
    """Steps of a round, and in total."""
    rounds, each, rows = trained_rounds(recipe), recipe.training.steps, recipe.training.batch_size
    if rounds == 0:
        return "none: the model is only evaluated"
    sums = f"{count(each)} a round × {rounds} rounds = {count(total_steps(recipe))}" if rounds > 1 else count(each)
    given = "; round 0 is the model as it is" if rounds == recipe.rounds else ""
    stops = "; fewer where the picker stops a round" if _may_stop(recipe) else ""
    return f"{sums} steps of {count(rows)} rows{given}{stops}"


def disk(recipe: Recipe, costs: Costs) -> str:
    """Bytes that the run needs, their parts, and the free space."""
    free = "" if costs.free_bytes is None else f"; {size(costs.free_bytes)} free"
    if costs.need is None:
        return f"unknown: {plain(costs.unknown, 200)}{free}"
    need = costs.need
    warning = "NOT ENOUGH: " if costs.free_bytes is not None and need.peak > costs.free_bytes else ""
    return f"{warning}about {size(need.total)}, at most {size(need.peak)} meanwhile{free}\n{_made_of(recipe, need)}"


def _made_of(recipe: Recipe, need: DiskNeed) -> str:
    rounds = recipe.rounds + 1
    mean = " on average" if recipe.pruning.pack else ""  # the more is pruned, the less a round takes
    held = f"{rounds} rounds of {size(need.rounds // rounds)}{mean}" if rounds > 1 else f"the result {size(need.rounds)}"
    rewind = f", rewind weights {size(need.rewind)}" if need.rewind else ""
    model = f"{count(need.parameters)} weights"
    if recipe.kind == "lottery":
        model += f", {count(need.prunable)} of them prunable"
    return f"{held}{rewind}, to resume from {size(need.resume)} ({model})"


def time(recipe: Recipe, estimate: Estimate | None) -> str:
    """The run's duration, and the runs that it is estimated from."""
    if estimate is None:
        return UNMEASURED
    pace = estimate.pace
    speeds = [f"{_rate(pace.steps_per_s)} steps/s"]
    if pace.rows_per_s and recipe.kind != "pretrain":
        speeds.append(f"{_rate(pace.rows_per_s)} rows/s evaluated")
    threads = f"{plain(pace.device, 40)}, {pace.threads} thread{'s' if pace.threads != 1 else ''}"
    source = f"{_source(estimate)} ({threads}; {', '.join(speeds)})"
    rest = f"the rest {duration(estimate.other_s)}"
    if estimate.total_s is None or estimate.evaluation_s is None:
        unmeasured = "evaluation not known: not measured with this split, beam, lengths and batch size"
        return f"training {duration(estimate.training_s)}, {rest}; {unmeasured}\n{source}"
    whole = f"{_most(estimate)} {duration(estimate.total_s)}"
    return f"{whole}: training {duration(estimate.training_s)}, evaluation {duration(estimate.evaluation_s)}, {rest}\n{source}"


def _rate(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _source(estimate: Estimate) -> str:
    names = [plain(name, 40) for name in estimate.runs]
    return f"from {', '.join(names)} on this machine"


def _most(estimate: Estimate) -> str:
    return "at most about" if estimate.at_most else "about"


def _may_stop(recipe: Recipe) -> bool:
    return recipe.kind != "pretrain" and recipe.picker.every > 0 and recipe.picker.rule != "best-no-stop"
