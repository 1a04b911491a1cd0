"""Records the example run that comes with the package: the demo's recipe, run for real, kept without its weights.

    make example-run

runs `checkpoints/bundled/recipes/demo.toml` on this machine and puts into `checkpoints/bundled/example-run` what a reader of a
run needs: recipe, journal, meta.json, and of each round the metrics and, newest first, as many masks as fit into `MASKS_BYTES`.
The recipe is the shipped one, with paths that hold on every machine; the host's name is left out. Do it again after a change of
the demo's recipe, of ruby-mini or of the journal's format, and look at the result: make demo, Enter.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from codeprune_tui import bundle, client, report
from codeprune_tui.console import catch_up, follow, wants_bar
from core.files import complete_or_absent
from core.recipe import recipe_hash
from core.runs import RunPaths

MASKS_BYTES = 1_300_000
"""The whole example is to stay below 1.5 MB."""
HOST = "example"
"""Stands for the machine's name."""


def main() -> None:
    checkpoints = Path(tempfile.mkdtemp(prefix="example-run-"))
    paths = client.start(checkpoints, bundle.demo_recipe(), bundle.EXAMPLE)
    view = follow(paths, *catch_up(paths), bar=wants_bar())
    print(report.results(view))
    target = bundle.folder() / bundle.EXAMPLE
    if len(view.finished) != view.rounds + 1:
        sys.exit(f"The run did not end well, {target} is as it was. See {paths.log}")
    if target.exists():
        shutil.rmtree(target)
    keep(paths, target)
    shutil.rmtree(checkpoints)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"Wrote {target}: {size / 1e6:.2f} MB", file=sys.stderr)


def keep(paths: RunPaths, target: Path) -> None:
    """Copies what the example needs, without anything that tells of this machine's folders."""
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
        room = MASKS_BYTES
        for number in reversed(paths.finished_rounds()):
            kept.round(number).mkdir(parents=True)
            shutil.copyfile(paths.round(number) / "metrics.json", kept.round(number) / "metrics.json")
            masks = paths.round(number) / "masks.safetensors"
            room -= masks.stat().st_size
            if number > 0 and room >= 0:  # those of the dense round are all ones
                shutil.copyfile(masks, kept.round(number) / masks.name)
        found = [file for file in draft.rglob("*") if file.is_file() and str(paths.root.parent).encode() in file.read_bytes()]
        assert not found, f"{found} name a folder of this machine"


if __name__ == "__main__":
    main()
