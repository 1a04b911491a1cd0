"""Averages the weights of models of one shape: the last models of several trainings are better together than each alone.

    python tools/average_models.py OUT MODEL MODEL [MODEL …]

The tokenizer is the first one's. Wortsman et al. 2022 ("Model soups") average models that began from the same weights, as here.
"""

import argparse
from pathlib import Path

import torch

from core.model import load_model, load_reader, save_model


def main() -> None:
    """Averages and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    options = parser.parse_args()
    model, *others = map(load_model, options.models)
    states = [other.state_dict() for other in others]
    with torch.no_grad():
        for name, weight in model.named_parameters():  # a tied one comes once
            weight.copy_(torch.stack([weight, *(state[name] for state in states)]).mean(0))
    save_model(model, load_reader(options.models[0]), options.out)


if __name__ == "__main__":
    main()
