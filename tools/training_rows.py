"""Makes the folders of training rows that the bundled models' recipes name.

    python tools/training_rows.py data/ruby data/all
    python tools/training_rows.py data/ruby data/plain --plain
    python tools/training_rows.py data/ruby data/mid --plain --words 7 28

The source folder holds `train.jsonl.gz` and `more.jsonl.gz` in CodeXGLUE's format, both for training, beside `valid.jsonl.gz` and
`test.jsonl.gz`, to which the new folder links. `--plain` leaves out comments of three words or fewer and those with a bracket, a
colon, a slash, `#`, `*` or the like: a quarter of these rows have one, and 0.2 % of CodeXGLUE's.
"""

import argparse
import gzip
import json
import re
from pathlib import Path

SIGNS = re.compile(r"[\[\](){}:#/*@$%~|&\\]")
FEWEST_WORDS = 4


def main() -> None:
    """Writes one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--words", type=int, nargs=2, default=(0, 1 << 30), metavar=("FEWEST", "MOST"))
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    fewest, most = options.words
    kept = 0
    with gzip.open(options.target / "train.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as rows:
        for split in ("train", "more"):
            with gzip.open(options.source / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
                for line in lines:
                    comment = json.loads(line)["docstring_tokens"]
                    if fewest <= len(comment) <= most and (is_plain(comment) or not options.plain):
                        rows.write(line.rstrip("\n") + "\n")
                        kept += 1
    for split in ("valid", "test"):
        link = options.target / f"{split}.jsonl.gz"
        link.unlink(missing_ok=True)
        link.symlink_to((options.source / link.name).resolve())
    print(f"{options.target}: {kept:,} rows")


def is_plain(comment: list[str]) -> bool:
    """Whether a comment looks like those of the official rows."""
    return len(comment) >= FEWEST_WORDS and not SIGNS.search(" ".join(comment))


if __name__ == "__main__":
    main()
