"""Prints the measured part of a bundled model's card as Markdown: scores with floors and intervals, outputs, words of its own.

    python tools/model_card.py checkpoints/bundled/ruby-mini --data data/ruby [--against OTHER_MODEL]

Every row of valid and test is decoded greedily and with beam 10, those of valid with length penalties, too; intervals are paired
bootstraps against the name floor and, with `--against`, against another model with the same search.
"""

import argparse
import random
import re
import sys
from collections.abc import Mapping
from dataclasses import astuple

from codeprune_tui.views.encoder_verdict import warning
from core.evaluate.evaluate import Evaluation, evaluate_model
from core.recipe import Evaluation as Settings
from core.score.interval import Difference
from core.score.metrics import name_prediction, name_words
from core.score.significance import paired_bootstrap

SPLITS = ("valid", "test")
PAPERS = (10, 0.0)
"""The paper's search: beam and length penalty."""
SEARCHES = {"valid": (PAPERS, (10, 1.0), (10, 2.0), (1, 0.0)), "test": (PAPERS, (1, 0.0))}
SHOWN = 20
LOOPED_WORDS = 2
"""Most words that make a loop."""
LOOP_IN_WORD = re.compile(r"(\w{2,})\1\1")
Search = tuple[int, float]
WORD = re.compile(r"[^\W\d_]{3,}")
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "the and for with from that this into are was not all any its has have been will can may should must which when where "
        "than then them they their there these those such each other also only given",
    )
)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", default="data/ruby")
    parser.add_argument("--against", help="another model, compared row by row with beam 10 on valid")
    parser.add_argument("--max-length", type=int, default=48)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()

    def measured(model: str, split: str, search: Search) -> Evaluation:
        print(f"{model}, {split}, {title(search)} …", file=sys.stderr)
        beam, penalty = search
        fixed = {"split": split, "rows": 0, "max_length": options.max_length}
        settings = Settings.model_validate(fixed | {"beam": beam, "length_penalty": penalty})
        return evaluate_model(model, options.data, settings, device="cpu", threads=options.threads, encoder_off=search == PAPERS)

    evaluations = {(split, search): measured(options.model, split, search) for split in SPLITS for search in SEARCHES[split]}
    less = {split: off.dense_less for split in SPLITS if (off := evaluations[split, PAPERS].encoder_off)}
    for split in SPLITS:
        if silence := warning(less[split], f"On {split}, a study of this model", "model"):
            print(f"{silence}\n")
    print_scores(evaluations)
    for split in SPLITS:
        print_difference(f"{split}: model minus encoder off", less[split])
        ours = evaluations[split, PAPERS]
        floor = [name_prediction(row.name) for row in ours.rows]
        print_difference(f"{split}: model minus name floor", compare(ours, floor))
    if options.against:
        other = measured(options.against, "valid", PAPERS)
        print_difference("valid: model minus the other", compare(evaluations["valid", PAPERS], other.predictions))
    for split in SPLITS:
        print_words(split, evaluations[split, PAPERS])
    print_outputs(evaluations["valid", PAPERS])


def title(search: Search) -> str:
    """The name of a search in tables."""
    beam, penalty = search
    return "greedy" if beam == 1 else f"beam {beam}" + (f", length penalty {penalty:g}" if penalty else "")


def compare(ours: Evaluation, theirs: "list[str] | tuple[str, ...]") -> dict[str, Difference]:
    """The paired bootstrap on the rows of an evaluation."""
    return paired_bootstrap(ours.predictions, theirs, [row.target for row in ours.rows])


def print_scores(evaluations: dict[tuple[str, Search], Evaluation]) -> None:
    """One table of all scores and floors."""
    print("| rows | program | smoothed BLEU-4 | corpus BLEU | chrF | mean words | loops |\n|---|---|---|---|---|---|---|")
    for (split, search), result in evaluations.items():
        words = sum(len(text.split()) for text in result.predictions) / len(result.rows)
        scores = result.scores
        print(
            f"| {split}, {len(result.rows)} | model, {title(search)} | {scores.bleu:.2f} | "
            f"{scores.corpus_bleu:.2f} | {scores.chrf:.1f} | {words:.1f} | {sum(map(loops, result.predictions))} |"
        )
    for split in SPLITS:
        if off := evaluations[split, PAPERS].encoder_off:
            rows, scores = len(evaluations[split, PAPERS].rows), off.scores
            cells = f"{scores.bleu:.2f} | {scores.corpus_bleu:.2f} | {scores.chrf:.1f}"
            print(f"| {split}, {rows} | floor: encoder off | {cells} | | |")
        floors = evaluations[split, PAPERS].floors
        for name, floor in (("method's name", floors.name), ("constant sentence", floors.constant)):
            print(
                f"| {split}, {floor.rows} | floor: {name} | {floor.bleu:.2f} | {floor.corpus_bleu:.2f} | {floor.chrf:.1f} | | |"
            )
    print("\nSignatures:", " · ".join(f"`{text}`" for text in evaluations["valid", PAPERS].signatures.values()), "\n")


def print_difference(title: str, differences: Mapping[str, Difference]) -> None:
    """One line with three differences and their intervals."""
    parts = (
        f"{name} {value:+.2f} [{low:+.2f}, {high:+.2f}]"
        for name, (value, low, high) in ((n, astuple(d)) for n, d in differences.items())
    )
    print(f"{title}: {', '.join(parts)}\n")


def print_words(split: str, result: Evaluation) -> None:
    """Content words: how many of them are in the reference, and how many of those are not in the method's name."""
    said = right = own = 0
    for row, text in zip(result.rows, result.predictions, strict=True):
        words = content_words(text)
        true = words & content_words(row.target)
        said, right, own = said + len(words), right + len(true), own + len(true - set(name_words(row.name)))
    print(
        f"{split}: of {said} content words {right} ({right / said:.1%}) are in the row's own comment, "
        f"{own} ({own / said:.1%}) of them not in the method's name.\n"
    )


def loops(text: str) -> bool:
    """Whether a comment turns in a circle: one or two words, or two letters and more inside a word, three times or more in a row.

    Words lie between blanks and punctuation, in any case: "very, very, very" is a loop, also before a full stop. Words without a
    letter make none: "1 1 1" is no loop, "item 1 item 1 item 1" is one.
    """
    words = re.findall(r"\w+", text.lower())
    for length in range(1, LOOPED_WORDS + 1):
        for start in range(len(words) - 3 * length + 1):
            first, second, third = (words[start + turn * length :][:length] for turn in range(3))
            if first == second == third and any(map(str.isalpha, "".join(first))):
                return True
    return LOOP_IN_WORD.search(text.lower()) is not None


def content_words(text: str) -> set[str]:
    """Words of three letters or more that are no function words, lower-case."""
    return set(WORD.findall(text.lower())) - FUNCTION_WORDS


def print_outputs(result: Evaluation) -> None:
    """Random rows, unedited: names and comments; the rows' own comments are not the project's to print."""
    print("| row | method | comment |\n|---|---|---|")
    for place in sorted(random.Random(0).sample(range(len(result.rows)), SHOWN)):
        row, text = result.rows[place], result.predictions[place].replace("|", "\\|")
        print(f"| {row.index} | `{row.name.rpartition('.')[2]}` | {text} |")


if __name__ == "__main__":
    main()
