"""Writes the comments of an ensemble of models, to score it or to train one model on what all of them would say.

    python tools/ensemble_comments.py data/ruby/valid.jsonl.gz comments.jsonl.gz MODEL [MODEL …] --beam 4
    python tools/ensemble_comments.py data/ruby/more-uncommented.jsonl.gz data/taught/train.jsonl.gz MODEL [MODEL …] --most 24000

The models share one vocabulary; the first one's tokenizer is used. An ensemble's probability of a token is the mean of its
models'. With `--no-loops` each comment is the best in the beam that has no loop, if there is one, as `model_card.py` counts them.
Rows are those of the source file, in CodeXGLUE's format, with the ensemble's comments in place of their own; where each row has
one of its own, the loss on these and the scores are printed. Training on an ensemble's comments is the distillation of Kim & Rush
2016 ("Sequence-level knowledge distillation").
"""

import argparse
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from model_card import loops
from torch import Tensor

from core.data import pad_lists
from core.decode import search_batches
from core.families.decoder import DecoderCache
from core.families.roberta import CodeToText
from core.model import load_model, load_reader
from core.recipe import Search
from core.ruby import source_text, target_text
from core.score.metrics import score

LOT = 2_048
SOURCE_LENGTH = 128
TARGET_LENGTH = 48


@dataclass
class Caches:
    """The decoder states of every model, which move together."""

    each: list[DecoderCache]

    def follow(self, parents: Tensor) -> Tensor | None:
        """As `DecoderCache.follow`; slots are alike in all models."""
        used = [cache.follow(parents) for cache in self.each]
        return used[0]

    def compact(self, seen_slots: int) -> None:
        """As `DecoderCache.compact`."""
        for cache in self.each:
            cache.compact(seen_slots)

    def keep(self, examples: Tensor) -> None:
        """As `DecoderCache.keep`."""
        for cache in self.each:
            cache.keep(examples)


class Ensemble(CodeToText):
    """Models that write one comment together; it stands in for one model where comments are searched."""

    def __init__(self, models: Sequence[CodeToText]) -> None:
        super().__init__(models[0].config)
        self.models = [model.eval() for model in models]  # a plain list: the search sets only the mode of the whole

    def prefill(self, sources: Tensor) -> Any:
        """Encodes the sources with every model."""
        return Caches([model.prefill(sources) for model in self.models])

    def step(self, tokens: Tensor, cache: Any) -> Tensor:
        """Logarithms of the mean probabilities, (batch, beams, vocab)."""
        return mean([model.step(tokens, own) for model, own in zip(self.models, cache.each, strict=True)])

    def target_logits(self, sources: Tensor, targets: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logarithms of the mean probabilities at each real target token, and the tokens that stand there."""
        pairs = [model.target_logits(sources, targets, places) for model in self.models]
        return mean([logits for logits, _ in pairs]), pairs[0][1]


def mean(logits: Sequence[Tensor]) -> Tensor:
    """Logarithms of the mean of probabilities, given as logits."""
    return torch.stack([each.float().log_softmax(-1) for each in logits]).logsumexp(0) - math.log(len(logits))


def main() -> None:
    """Decodes, writes, scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--no-loops", action="store_true")
    parser.add_argument("--most", type=int, default=1 << 60, metavar="ROWS")
    options = parser.parse_args()
    ensemble = Ensemble([load_model(path) for path in options.models])
    reader = load_reader(options.models[0])
    search = Search(options.beam, TARGET_LENGTH, n_best=options.beam if options.no_loops else 1, batch_size=64)
    written: list[str] = []
    references: list[str] = []
    loss, tokens = 0.0, 0
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(options.target, "wt", encoding="utf-8", compresslevel=1) as out:
        for lot in lots(options.source, options.most):
            sources = reader.sources([source_text(row["code_tokens"]) for row in lot], SOURCE_LENGTH)
            comments = [""] * len(lot)
            for places, batch in search_batches(ensemble, sources, search):
                for place, best in zip(places, batch, strict=True):
                    comments[place] = first_without_loop([reader.text(list(each.tokens)) for each in best])
            for row, comment in zip(lot, comments, strict=True):
                out.write(json.dumps(row | {"docstring": comment, "docstring_tokens": comment.split()}) + "\n")
            own = [target_text(row["docstring_tokens"]) for row in lot if row.get("docstring_tokens")]
            if len(own) == len(lot):
                more, count = losses(ensemble, sources, reader.ids(own, TARGET_LENGTH))
                loss, tokens = loss + more, tokens + count
                references += own
            written += comments
            print(f"{len(written):,} rows", flush=True)
    words = sum(len(comment.split()) for comment in written) / len(written)
    print(f"mean length {words:.1f} words, {sum(map(loops, written))} loops")
    if references:
        print(f"loss {loss / tokens:.4f} nats a token", score(written, references).scores)


def first_without_loop(texts: Sequence[str]) -> str:
    """The first that has no loop; the first where all have one."""
    return next((text for text in texts if not loops(text)), texts[0])


def lots(file: Path, most: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a file, some at a time."""
    lot: list[dict[str, Any]] = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == most:
                break
            lot.append(json.loads(line))
            if len(lot) == LOT:
                yield lot
                lot = []
    if lot:
        yield lot


@torch.inference_mode()
def losses(model: CodeToText, sources: list[list[int]], targets: list[list[int]]) -> tuple[float, int]:
    """Sum of the cross-entropy in nats, and the number of tokens."""
    total, count = 0.0, 0
    for start in range(0, len(sources), 32):
        source, target = (pad_lists(part[start : start + 32], model.special.pad) for part in (sources, targets))
        more, here = model.token_losses(source, target)
        total, count = total + float(more), count + here
    return total, count


if __name__ == "__main__":
    main()
