"""The subcommand that measures how fast the engine is, compared with what users have otherwise.

`core.bench` measures; this module has the options, the table, and what is stored. torch is imported only to measure.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.bench import stored
from core.bench.measure import Result, Table
from core.bench.names import NAMES
from core.errors import TrainingError
from core.provenance import commit

from .. import bundle
from ..views.text import table
from .console import say
from .models import Threads
from .runs import Json, app, device_option

if TYPE_CHECKING:
    from core.bench.ground import Ground

FOLDER = Path("docs/benchmarks")


@app.command(epilog="\b\nExample:\n  codeprune-tui bench training decoding --size mini")
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help=f"Comparisons, of {', '.join(NAMES)}; all if none is named.")
    ] = None,
    size: Annotated[str, typer.Option("--size", help="mini, base or mini,base; with --quick, mini if not given.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Take under a minute, less exactly; results are stored apart.")] = False,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            callback=device_option,
            metavar="DEVICE",
            help="cpu, cuda, cuda:N or mps; auto: the CPU, and then a GPU where there is one.",
        ),
    ] = "auto",
    threads: Threads = 0,
    json: Json = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where a ratio is over 20 % worse than in the last run.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where runs are stored as JSON.")] = FOLDER,
    docs: Annotated[
        Path | None, typer.Option("--docs", metavar="FILE", help="Measure nothing: write the stored runs into a page.")
    ] = None,
) -> None:
    """Measure the engine's speed beside other ways.

    The other ways are the reference's algorithms and other libraries.

    Each comparison runs both sides in turn and gives the ratio of their medians. It takes minutes on an idle machine.
    """
    if docs is not None:
        _write_page(output, docs)
        return
    worse: list[str] = []
    sizes = [part.strip() for part in (size or ("mini" if quick else "mini,base")).split(",")]
    for before, now in _measure(names or [], sizes, quick=quick, device=device, threads=threads, folder=output):
        regressions = stored.regressions(before, now.results)
        file = stored.file_of(output, now.facts)
        if regressions and check:
            say(f"{file} stays as it is")  # or the next check would find nothing
        else:
            stored.write(stored.merged(before, now), file)
            say(f"Stored in {file}")
        typer.echo(stored.to_json(now) if json else _table(now), nl=not json)
        worse += regressions
    if worse:
        text = f"Worse than the last stored run by more than 20 %: {'; '.join(worse)}."
        if check:
            raise TrainingError(text, "Measure again on an idle machine.")
        say(text)


def _measure(
    names: list[str], sizes: list[str], *, quick: bool, device: str, threads: int, folder: Path
) -> Iterator[tuple[stored.Run | None, stored.Run]]:
    """For each device the last stored run of this kind, if any, and the new one."""
    from core.bench import suite

    places = suite.devices(device)
    if device == "auto" and "cuda" not in places:
        say("CUDA is not measured: there is no GPU")
    for place in places:
        if plan := suite.planned(names, sizes, place):
            ground = suite.make_ground(bundle.folder(), place, threads, quick=quick)
            yield _measure_on(ground, plan, folder)


def _measure_on(ground: "Ground", plan: list[tuple[str, str]], folder: Path) -> tuple[stored.Run | None, stored.Run]:
    from core.bench import suite

    facts = suite.facts(ground)
    before = stored.read(stored.file_of(folder, facts))
    say(f"Measuring on {facts.device}, {facts.threads} thread{'' if facts.threads == 1 else 's'}, with {facts.rows}")
    results: list[Result] = []
    tables: list[Table] = []
    for number, (name, at) in enumerate(plan, start=1):
        say(f"{number}/{len(plan)} {name} {at}".rstrip())
        for measured in suite.measure(ground, [(name, at)]):
            if isinstance(measured, Table):
                tables.append(measured)
            else:
                results.append(measured)
    return before, stored.Run(facts, commit(), tuple(results), tuple(tables))


def _table(run: stored.Run) -> str:
    """The text that is printed: every result, notes, and the tables of growth."""
    parts = [table([stored.COLUMNS, *(stored.cells(result) for result in run.results)], left=3)]
    notes = [f"{result.name}, {result.what}: {result.note}" for result in run.results if result.note]
    parts += ["\n".join(notes)] if notes else []
    parts += [f"{part.title}\n{table([part.columns, *part.rows])}" for part in run.tables]
    return "\n\n".join(parts)


def _write_page(folder: Path, page: Path) -> None:
    runs = [run for file in sorted(folder.glob("*.json")) if (run := stored.read(file)) is not None]
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(stored.page(runs, before), encoding="utf-8")
    say(f"{len(runs)} stored runs written into {page}")
