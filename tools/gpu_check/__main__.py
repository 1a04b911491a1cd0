"""Checks on one device, in at most ten minutes, all that could not be measured or proved without a GPU: writes JSON and a table.

    python tools/gpu_check                       the GPU with the most free memory, gpu-check.json and gpu-check.md
    python tools/gpu_check --device cuda:1 --only training decoding
    python tools/gpu_check --device cpu --quick  tiny models: shows that the checks themselves work, and measures nothing

A check that fails or finds no time left says so and stops none of the others. Needs nothing but the bundled model and rows.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pays
import sameness
import speed
import survival
from box import Box, Row, make_box

from codeprune_tui.views.text import table
from core.provenance import QUANTIZING, commit, processor, versions

MINUTES = 10.0
NOTE = 90
"""Characters of a note in the printed table; the files have it whole."""
CHECKS: dict[str, Callable[[Box], Sequence[Row]]] = {
    "environment": speed.environment,
    "kernels": speed.kernels,
    "waits": speed.waits,
    "memory": survival.out_of_memory,
    "repeat": sameness.repeat_and_resume,
    "batches": sameness.batch_sizes,
    "comments": sameness.against_the_cpu,
    "masks": pays.masks,
    "checkpoints": pays.checkpoints,
    "training": speed.training,
    "decoding": speed.decoding,
    "graphs": pays.graphs,
    "quantizers": sameness.quantizers,
    "beside": survival.beside,
    "processes": survival.processes,
    "compile": speed.compiled,
}
"""Name -> check, what is short and promised most first: those at the end find no time where the others were slow."""


def main(arguments: Sequence[str]) -> int:
    """Runs the checks; 1 where one failed or found a promise broken."""
    options = _options(arguments)
    box = make_box(options.device, quick=options.quick, ends=time.monotonic() + 60 * options.minutes)
    print(f"Checking {box.name}: {', '.join(options.only)}", file=sys.stderr)
    rows: list[Row] = []
    took: dict[str, float] = {}
    for name in options.only:
        begun = time.monotonic()
        rows += _checked(name, box)
        took[name] = round(time.monotonic() - begun, 1)
        print(f"{name}: {took[name]:.0f} s", file=sys.stderr)
    facts = {
        "device": box.name,
        "processor": processor(),
        "versions": versions(QUANTIZING),
        "commit": commit(),
        "quick": options.quick,
        "seconds": took,
        "rows": [asdict(row) for row in rows],
    }
    options.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(_markdown(box, rows), encoding="utf-8")
    shown = [(*cells, note[:NOTE]) for *cells, note in map(_cells, rows)]
    print(table([("check", "what", "value", "unit", "holds", "note"), *shown], left=6))
    print(f"Written: {options.output}, {options.output.with_suffix('.md')}", file=sys.stderr)
    return int(any(row.holds is False for row in rows))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tools/gpu_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--quick", action="store_true", help="tiny models and few rows: tests the checks, measures nothing")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(CHECKS), default=tuple(CHECKS), metavar="CHECK", help=", ".join(CHECKS)
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no check begins after so many")
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-check.json"), metavar="FILE.json")
    return parser.parse_args(arguments)


def _checked(name: str, box: Box) -> list[Row]:
    """The rows of a check; one that says what went wrong where it failed."""
    if box.seconds_left <= 0:
        return [Row(name, "not measured: no time was left")]
    try:
        return list(CHECKS[name](box))
    except Exception as error:  # the others go on
        traceback.print_exc()
        return [Row(name, f"failed: {type(error).__name__}", holds=False, note=(str(error).splitlines() or [""])[0][:300])]
    finally:
        box.forget()


def _cells(row: Row) -> tuple[str, ...]:
    value = "" if row.value is None else f"{row.value:.4g}"
    return row.check, row.what, value, row.unit, {True: "yes", False: "NO", None: ""}[row.holds], row.note


def _markdown(box: Box, rows: Sequence[Row]) -> str:
    lines = [f"{box.name}, {processor()}; commit {commit() or 'unknown'}.", ""]
    lines += ["| check | what | value | unit | holds | note |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in _cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
