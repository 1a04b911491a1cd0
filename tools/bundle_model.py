"""Copies a round's model in half precision, as the bundled models are shipped.

    python tools/bundle_model.py checkpoints/MY_RUN/rounds/00 checkpoints/bundled/ruby-mini

What else lies in the target folder (card, recipe) stays there.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from core.model import is_finetuned, load_model, load_reader, save_model


def main() -> None:
    """Copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("round", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    model = load_model(options.round)
    model.config.pretrained_only = not is_finetuned(options.round)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model"
        save_model(model, load_reader(options.round), draft, half=True)
        options.target.mkdir(parents=True, exist_ok=True)
        for file in draft.iterdir():
            shutil.copyfile(file, options.target / file.name)


if __name__ == "__main__":
    main()
