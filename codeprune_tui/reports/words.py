"""The texts of a report, the same on the HTML page and in Markdown."""

from core.run.results import MEASURES
from core.run.rowsets import by_rows
from core.score.metrics import TRUST
from core.study.findings import NEARLY, RECOVERED, disagreements

from ..views.encoder_verdict import warning_of_all
from .content import Content

TITLE = "Pruning CodeBERT-style models: the paper's findings, on our runs"
MADE_BY_MARKDOWN = "This page is written by `codeprune-tui report RUNS --markdown FILE` from the run folders alone."
FINDINGS = "Which findings held"
RULES = (
    "Each rule is the same for every score. A comparison is one curve minus another on the same rows: the scores of all "
    "seeds and of the sparsities named are averaged in each of 1,000 draws of rows, and the middle 95 % of the differences "
    "are the interval. Held: the interval is above 0 and so is every seed. Did not hold: both are below. Otherwise "
    "undecided. An interval speaks of the choice of rows; what another training would give shows in the seeds, and with one"
    " seed it does not show at all."
)
DISAGREEMENT = "Recovered under smoothed BLEU, lost under chrF"
FLOORS = "Floors: what programs that read no code score"
FLOORS_NOTE = (
    "On the rows that the runs were scored on. A smoothed BLEU-4 below these is no sign that a model read anything; the floors "
    "are drawn in every chart."
)
ENCODER_OFF = "What the dense models score with their encoder off"
ENCODER_OFF_NOTE = (
    "The encoder's layers taken out, embeddings straight to the decoder, on the same rows. After each score stands dense minus "
    "encoder off with its 95 % interval: a study says of its encoder only what lies between."
)
CURVES_NOTE = "Mean over seeds, the lowest and highest seed in brackets."
PUBLISHED = "Published numbers beside ours"
PUBLISHED_NOTE = (
    "The paper's are of CodeBERT (125 M parameters) on all rows of CodeXGLUE's Ruby; ours are of the model that was "
    "quantized here. They are for orientation: their heights cannot be compared."
)
MASKS = "Do different runs keep the same weights?"
MASKS_NOTE = (
    "Jaccard index of the kept weights (kept by both / kept by either), at equal sparsity; in brackets, what random masks "
    "with as many kept weights in every matrix would have. Random pruning draws from the seed: equal seeds give nearly "
    "equal masks. Rounds of one run are nested, since a pruned weight never comes back: their overlap follows from the "
    "schedule, and stands in masks.csv."
)
FIGURES_NOTE = (
    "Dots are runs, lines the mean over seeds, bands reach from the lowest to the highest seed. Each score has its own "
    "scale, and none begins at 0."
)
SIGNATURES = "How the scores are computed"
MISSING = "What is missing"
NOTHING_MISSING = "Nothing."
NO_ROWS = "None."


def introduction(content: Content) -> list[str]:
    """The first paragraphs: the number of runs, their rows, and the findings."""
    verdicts = [each.verdicts for each in content.findings]
    counts = []
    for name, title in MEASURES.items():
        outcomes = [str(verdict[name].outcome) for verdict in verdicts]
        said = ", ".join(f"{outcomes.count(word)} {word}" for word in ("held", "did not hold", "undecided", "not tested"))
        counts.append(f"{title}: {said}")
    findings = f"Of {len(verdicts)} findings, under {'; under '.join(counts)}."
    return [*_silence(content), _what_was_scored(content), findings, *_below_floor(content), TRUST]


def runs_title(content: Content) -> str:
    """The title of a report on runs of no experiment of the paper."""
    names = [run.name for run in content.study.runs]
    return f"Comparison of {len(names)} runs" if len(names) > 1 else f"The run {''.join(names)}"


def about_runs(content: Content) -> list[str]:
    """The first paragraphs of such a report: the rows, whether the scores compare, and the floors."""
    sets = by_rows({run.name: run.results for run in content.study.runs})
    lines = [_what_was_scored(content)]
    if len(sets) > 1:
        parts = "; ".join(", ".join(names) for names in sets)
        lines.append(f"These runs were scored on different rows, so each is held against its own floors only: {parts}.")
    return [*_silence(content), *lines, *_below_floor(content), TRUST]


def _silence(content: Content) -> list[str]:
    """The warning about the runs' encoders, which comes before everything else."""
    return [*filter(None, [warning_of_all(result for run in content.study.runs for result in run.results)])]


def _amount(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _what_was_scored(content: Content) -> str:
    study = content.study
    seeds = {group.title: len(group.runs) for group in study.groups}
    results = [result for run in study.runs for result in run.results]
    rows = sorted({f"{result.rows:,} rows of {result.split}" for result in results if result.rows and result.split})
    models = sorted({run.recipe.model.path.rstrip("/").rpartition("/")[2] for run in study.runs if run.recipe})
    return (
        f"{_amount(len(study.runs), 'run')} of {_amount(len(seeds), 'curve')}, {_amount(len(results), 'scored round')}"
        + (f", on {' and on '.join(rows)}" if rows else "")
        + (f". Models at the start: {', '.join(models)}." if models else ".")
    )


def _below_floor(content: Content) -> list[str]:
    """The warning if a program that prints the name scores more than the models."""
    results = [result for run in content.study.runs for result in run.results if "name" in result.floors]
    said = []
    for measure, title in MEASURES.items():
        both = [
            (r.scores[measure], r.floors["name"][measure]) for r in results if measure in r.scores and measure in r.floors["name"]
        ]
        below = sum(mine <= floor for mine, floor in both)
        if below:
            said.append(f"{below} of {len(both)} scored rounds are not above it under {title}")
    if not said:
        return []
    return [f"Read the heights with care. A program that prints the method's name reads no code, and {'; '.join(said)}."]


def disagreement(content: Content) -> list[str]:
    """Whether smoothed BLEU says that quality is back where chrF says that it is not."""
    cases = disagreements(content.recoveries)
    rule = (
        f"Recovered: the interval excludes a loss of more than {100 * RECOVERED:.0f} % of the dense score (nearly: "
        f"{100 * NEARLY:.0f} %). Lost under chrF: it does not say recovered, and its interval is below 0."
    )
    if not content.recoveries:
        return [rule, "No curve has the comments of both its dense and a pruned model."]
    if not cases:
        return [rule, f"None of the {len(content.recoveries)} pairs of curve and sparsity is such a case."]
    return [rule, f"{len(cases)} of {len(content.recoveries)} pairs of curve and sparsity are such cases:"]
