"""Records the example run that comes with the package: the demo's recipe, run for real, kept with one pruned round's weights.

    make example-run

runs `checkpoints/bundled/recipes/demo.toml` on this machine and puts into `checkpoints/bundled/example-run` what a reader of a
run needs: recipe, journal, meta.json, metrics and comments of each round; the model of round `SHOWN`, so that there is a pruned
one right after installation; and, newest first, as many rounds' masks as `MOST_BYTES` allows. That model is packed and in half
precision, the scores are of the one in fp32. The dense round's model has 38 MB and does not fit.
The recipe is the shipped one, with paths that hold on every machine; the host's name is left out. Do it again after a change of
the demo's recipe, of ruby-mini or of the journal's format, and look at the result: make demo, Enter.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from codeprune_tui import bundle
from codeprune_tui.cli import tables
from codeprune_tui.cli.console import follow, wants_bar
from codeprune_tui.runs import client
from codeprune_tui.runs.watch import catch_up
from core.atomic import complete_or_absent
from core.model import MASKS, load_masks, load_model, load_reader, save_model
from core.recipe import recipe_hash
from core.run.folder import RunPaths
from core.spec.checkpoint_files import WEIGHTS
from core.train.leftovers import digests

MOST_BYTES = 22_000_000
"""Every installation carries the example: with the two models of 38 MB each, a wheel stays below 100 MB."""
SHOWN = 3
"""78 % are pruned, and its comments can still be read; one in five of the last round's turns in circles."""
HOST = "example"
"""Stands for the machine's name."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    checkpoints = Path(tempfile.mkdtemp(prefix="example-run-"))
    paths = client.start(checkpoints, bundle.demo_recipe(), bundle.EXAMPLE)
    view = follow(paths, *catch_up(paths), bar=wants_bar())
    print(tables.results(view))
    target = bundle.folder() / bundle.EXAMPLE
    if len(view.finished) != view.rounds + 1:
        sys.exit(f"The run did not end well, {target} is as it was. See {paths.log}")
    if target.exists():
        shutil.rmtree(target)
    keep(paths, target, SHOWN)
    shutil.rmtree(checkpoints)
    print(f"Wrote {target}: {size_bytes(target) / 1e6:.2f} MB", file=sys.stderr)


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def keep(paths: RunPaths, target: Path, shown: int) -> None:
    """Copies the files that the example needs, without any path of this machine."""
    with complete_or_absent(target) as draft:
        draft.mkdir()
        kept = RunPaths(draft)
        shutil.copyfile(bundle.recipes()[bundle.DEMO], kept.recipe)
        events = [json.loads(line) for line in paths.journal.read_text(encoding="utf-8").splitlines()]
        lines = [json.dumps({**event, "host": HOST} if "host" in event else event, ensure_ascii=False) for event in events]
        kept.journal.write_text("\n".join(lines) + "\n", encoding="utf-8")
        facts = json.loads(paths.meta.read_text(encoding="utf-8"))
        facts |= {"recipe": recipe_hash(bundle.demo_recipe()), "host": HOST}
        kept.meta.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        kept.rounds.mkdir()
        others = [number for number in paths.finished_rounds() if number != shown]
        for number in others:
            kept.round(number).mkdir()
            shutil.copyfile(paths.round(number) / "metrics.json", kept.round(number) / "metrics.json")
        keep_model(paths.round(shown), kept.round(shown))
        for number in (*others, shown):
            shutil.copyfile(paths.round(number) / "predictions.jsonl", kept.round(number) / "predictions.jsonl")
        for number in others[:0:-1]:  # those of the dense round are all ones
            masks = paths.round(number) / MASKS
            if size_bytes(draft) + masks.stat().st_size <= MOST_BYTES:
                shutil.copyfile(masks, kept.round(number) / MASKS)
        assert size_bytes(draft) <= MOST_BYTES, "the journal and one model are too much"
        telltale_files = [
            file for file in draft.rglob("*") if file.is_file() and str(paths.root.parent).encode() in file.read_bytes()
        ]
        assert not telltale_files, f"{telltale_files} name a folder of this machine"


def keep_model(pruned: Path, folder: Path) -> None:
    """Keeps the model of a round, its kept values alone and in half precision, its masks, and the digest of these weights."""
    save_model(load_model(pruned), load_reader(pruned), folder, half=True, packed=load_masks(pruned))
    shutil.copyfile(pruned / MASKS, folder / MASKS)
    facts = json.loads((pruned / "metrics.json").read_text(encoding="utf-8"))
    facts["digests"] |= digests(folder, [WEIGHTS[0]])
    (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
