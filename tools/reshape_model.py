"""Makes a model of another shape from one that is there: fewer decoder layers, a wider encoder; or one with random weights.

    python tools/reshape_model.py MODEL OUT [--decoder-layers N] [--encoder-ffn N] [--anew]

The first decoder layers stay. New neurons are copies of others, drawn with seed 0, and each neuron's outgoing weights are divided
by its number of copies, so that the wider encoder computes what the narrower one did (Chen et al. 2016, "Net2Net"). With `--anew`
all weights are drawn anew, with seed 0 and the usual start values.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from core.families.roberta import CodeToText
from core.model import is_finetuned, load_model, load_reader, save_model


def main() -> None:
    """Reshapes and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--decoder-layers", type=int)
    parser.add_argument("--encoder-ffn", type=int)
    parser.add_argument("--anew", action="store_true")
    options = parser.parse_args()
    before = load_model(options.model)
    config = replace(
        before.config,
        pretrained_only=not is_finetuned(options.model),
        decoder_layers=min(options.decoder_layers or before.config.decoder_layers, before.config.decoder_layers),
        intermediate_size=max(options.encoder_ffn or 0, before.config.intermediate_size),
    )
    torch.manual_seed(0)
    after = CodeToText(config)
    if not options.anew:
        state = widened(before, config.intermediate_size)
        after.load_state_dict({name: state[name] for name in after.state_dict()})
    save_model(after, load_reader(options.model), options.out)
    print(f"{options.out}: {sum(weight.numel() for weight in after.parameters()):,} parameters")


def widened(model: CodeToText, neurons: int) -> dict[str, Tensor]:
    """The weights of a model whose encoder layers have that many neurons, old ones first."""
    state = model.state_dict()
    generator = torch.Generator().manual_seed(0)
    before = model.config.intermediate_size
    for layer in range(model.config.num_hidden_layers):
        source = torch.cat([torch.arange(before), torch.randint(before, (neurons - before,), generator=generator)])
        copies = source.bincount(minlength=before)[source]
        name = f"encoder.encoder.layer.{layer}."
        for part in ("intermediate.dense.weight", "intermediate.dense.bias"):
            state[name + part] = state[name + part][source]
        state[name + "output.dense.weight"] = state[name + "output.dense.weight"][:, source] / copies
    return state


if __name__ == "__main__":
    main()
