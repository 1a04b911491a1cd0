"""Compares two models on the rows that both commented, with the intervals of a paired bootstrap.

codeprune-tui evaluate MODEL --data data/ruby --rows 0 --predictions one.jsonl      (and likewise two.jsonl)
python benchmarks/compare_predictions.py one.jsonl two.jsonl

Prints the scores of both, and for each score the first minus the second.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from core.score.metrics import score
from core.score.significance import paired_bootstrap


def main() -> None:
    """Prints scores of both and the first minus the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    sides = [
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (arguments.first, arguments.second)
    ]
    if [row["index"] for row in sides[0]] != [row["index"] for row in sides[1]]:
        sys.exit("The two files hold other rows: evaluate both models on the same split, rows and seed.")
    references = [row["reference"] for row in sides[0]]
    texts = [[row["prediction"] for row in side] for side in sides]
    for path, side in zip((arguments.first, arguments.second), texts, strict=True):
        print(path, asdict(score(side, references).scores))
    for name, difference in paired_bootstrap(texts[0], texts[1], references).items():
        doubt = "" if difference.is_clear else " (undecided)"
        print(f"{name}: {difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]{doubt}")


if __name__ == "__main__":
    main()
