"""Growth of cost: examples a second and memory by batch, source length, beam and model; a worker's memory by round.

Sources are cut or extended to the length of the table, so that only one size changes in it. Memory is the peak beyond what the
process held before, which includes weights and optimizer; on a GPU, it is the GPU's.
"""

import tempfile
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

from ..data import Batch, pad_lists
from ..decode import beam_search
from ..families.memory import give_back, peak_bytes, reset_peak, resident_bytes
from ..families.roberta import CodeToText
from .ground import Ground
from .measure import Table, timed
from .starting import resident_after_rounds

NAME = "growth"
USUAL = {"batch": 8, "source": 128, "beam": 10}
"""The usual sizes, which stay while another one grows."""
STEPS = {"batch": (1, 8, 32), "source": (64, 128, 256), "beam": (1, 5, 10)}
COLUMNS = ("examples/s", "MB more")
DEPTHS = {"mini": ("mini", 1), "base": ("base", 1), "2 × base": ("base", 2)}
ROUNDS = 8


def growth(ground: Ground, size: str = "") -> list[Table]:
    """The tables."""
    steps = {name: values[:2] for name, values in STEPS.items()} if ground.quick else STEPS
    sizes = {"mini": DEPTHS["mini"]} if ground.quick else DEPTHS
    mini = ground.fresh("mini")
    tables = [
        _table(ground, mini, "training", "batch", steps["batch"]),
        _table(ground, mini, "training", "source", steps["source"]),
        *(_table(ground, mini, "decoding", thing, steps[thing]) for thing in steps),
    ]
    ground.forget()
    rows = []
    for name, (kind, deeper) in sizes.items():
        model = ground.fresh(kind, deeper)
        decoded = _measured(ground, lambda model=model: _decode(ground, model, **USUAL))  # type: ignore[misc]
        trained = _measured(ground, _trained(ground, model, USUAL["batch"], USUAL["source"]))
        parameters = sum(weight.numel() for weight in model.parameters())
        rows.append((name, f"{parameters / 1e6:.0f} M", *trained, *decoded))
        del model
    columns = ("model", "weights", *(f"{what}: {column}" for what in ("training", "decoding") for column in COLUMNS))
    tables.append(Table(NAME, f"By model, {_words(USUAL)}", columns, tuple(rows)))
    return [*tables, _rounds(ground)]


def _rounds(ground: Ground) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        seen = dict(resident_after_rounds(ground, Path(folder), 2 if ground.quick else ROUNDS))
    rows = tuple((str(number), f"{held / 1e6:.0f}") for number, held in sorted(seen.items()))
    return Table(NAME, "Memory of a worker on ruby-mini, by round", ("round", "MB"), rows)


def _table(ground: Ground, model: CodeToText, what: str, thing: str, values: tuple[int, ...]) -> Table:
    rows = []
    for value in values:
        sizes = USUAL | {thing: value}
        action = (
            _trained(ground, model, sizes["batch"], sizes["source"]) if what == "training" else _decoded(ground, model, sizes)
        )
        rows.append((str(value), *_measured(ground, action, sizes["batch"])))
    rest = {name: usual for name, usual in USUAL.items() if name != thing and not (what == "training" and name == "beam")}
    return Table(NAME, f"{what.capitalize()} mini by {thing}, {_words(rest)}", (thing, *COLUMNS), tuple(rows))


def _words(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _measured(ground: Ground, action: Callable[[], object], examples: int = USUAL["batch"]) -> tuple[str, str]:
    """Examples a second and MB of an action, which runs once before, uncounted."""
    action()
    give_back()
    cuda = ground.device.type == "cuda"
    before = torch.cuda.memory_allocated(ground.device) if cuda else resident_bytes()
    torch.cuda.reset_peak_memory_stats(ground.device) if cuda else reset_peak()
    seconds = timed(action, ground.synchronise)
    peak = torch.cuda.max_memory_allocated(ground.device) if cuda else peak_bytes()
    return f"{examples / seconds:.3g}", f"{max(0, peak - before) / 1e6:.0f}"


def _decoded(ground: Ground, model: CodeToText, sizes: dict[str, int]) -> Callable[[], object]:
    return lambda: _decode(ground, model, **sizes)


def _decode(ground: Ground, model: CodeToText, *, batch: int, source: int, beam: int) -> object:
    return beam_search(model, _sources(ground, batch, source), beam=beam, max_length=ground.usual_length, batch_size=batch)


def _trained(ground: Ground, model: CodeToText, batch: int, source: int) -> Callable[[], object]:
    """A training step; the optimizer's state is made by the uncounted one."""
    trainer = ground.trainer(model, {})
    targets = ground.train.targets[:batch]
    pad = ground.reader.special.pad
    rows = Batch(pad_lists(_sources(ground, batch, source), pad), pad_lists(targets, pad), tuple(range(batch)))
    return lambda: trainer.train_step(rows)


def _sources(ground: Ground, batch: int, length: int) -> list[list[int]]:
    """Real tokens, each source repeated up to the length."""
    return [[ids[0], *islice(cycle(ids[1:-1] or ids[-1:]), length - 2), ids[-1]] for ids in ground.sources(batch)]
