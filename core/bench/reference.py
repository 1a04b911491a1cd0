"""The slow side: the reference's training and decoding, with the same weights and the same results.

Training pads every source and target to the full length, puts all positions through the output layer, steps AdamW parameter by
parameter and reads the loss off each step. Decoding takes one example at a time, its source padded to the full length, and
computes the whole prefix of every beam anew for each token. The layers are the engine's own, so what differs is the algorithm.

Source: CodeXGLUE, Code-Text/code-to-text (described, not copied).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import Batch
from ..decode import Hypothesis
from ..families.family import Memory
from ..families.roberta import CodeToText
from ..recipe import Precision

SOURCE_LENGTH, TARGET_LENGTH = 256, 128
"""The reference's fixed lengths in tokens."""


def padded(batch: Batch, pad: int, source_length: int = SOURCE_LENGTH, target_length: int = TARGET_LENGTH) -> Batch:
    """The batch at the reference's fixed lengths."""
    sources = F.pad(batch.sources, (0, source_length - batch.sources.shape[1]), value=pad)
    targets = F.pad(batch.targets, (0, target_length - batch.targets.shape[1]), value=pad)
    return Batch(sources, targets, batch.rows)


def padded_loss(model: CodeToText, batch: Batch) -> Tensor:
    """Mean loss over the real target tokens, with logits of every position.

    Args:
        model: In any mode, on the batch's device.
        batch: As `padded` gives it.

    Returns:
        A scalar in float32, nats per token.
    """
    states = model.decode(model.encode(batch.sources), batch.targets)
    logits = model.token_logits(states)[:, :-1].float()  # (batch, target time - 1, vocab)
    return F.cross_entropy(logits.flatten(0, 1), batch.targets[:, 1:].flatten(), ignore_index=model.special.pad)


class PaddedTrainer:
    """Trains with fixed padding.

    Args:
        model: On its device.
        learning_rate: Of every step.
        precision: fp32, or bf16 autocast.
    """

    def __init__(self, model: CodeToText, learning_rate: float = 5e-5, precision: Precision = "fp32") -> None:
        self._model, self._lower = model, precision == "bf16"
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, eps=1e-8, foreach=False, fused=False)

    def train_step(self, batch: Batch) -> float:
        """Makes one optimizer step, and returns the loss."""
        self._model.train()
        device = self._model.device
        moved = Batch(batch.sources.to(device), batch.targets.to(device), batch.rows)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._lower):
            loss = padded_loss(self._model, padded(moved, self._model.special.pad))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()


@torch.inference_mode()
def slow_beam_search(
    model: CodeToText, source: Sequence[int], beam: int, max_length: int, source_length: int = SOURCE_LENGTH
) -> Hypothesis:
    """The best comment for one source, without a cache.

    Args:
        model: In evaluation mode.
        source: Token ids, `<s>` ... `</s>`.
        beam: Places in the beam.
        max_length: Tokens to write at most, `</s>` included.
        source_length: Length that the source is padded to.
    """
    special = model.special
    ids = torch.full((1, max(source_length, len(source))), special.pad, device=model.device)
    ids[0, : len(source)] = torch.tensor(source, device=model.device)
    states, mask = model.encode(ids)
    memory = Memory(states.repeat(beam, 1, 1), mask.repeat(beam, 1, 1, 1))
    prefix = torch.full((beam, 1), special.begin, device=model.device)
    score = torch.full((beam,), -torch.inf, device=model.device)
    score[0] = 0.0  # at first all places are equal, so only one has children
    ended: list[tuple[float, tuple[int, ...]]] = []
    top_ended = False
    for _ in range(max_length):
        logits = model.token_logits(model.decode(memory, prefix)[:, -1])
        likely = logits.float().log_softmax(1) + score[:, None]  # (beam, vocab)
        likely[prefix[:, -1] == special.end] = -torch.inf  # an ended sentence gets no children
        score, place = likely.flatten().topk(beam)
        parent = place // likely.shape[1]
        token = place - parent * likely.shape[1]
        prefix = torch.cat([prefix[parent], token[:, None]], 1)
        tokens = token.tolist()
        ended += [(float(score[at]), tuple(prefix[at, 1:-1].tolist())) for at in range(beam) if tokens[at] == special.end]
        top_ended |= tokens[0] == special.end
        if top_ended and len(ended) >= beam:
            break
    if not ended:
        return Hypothesis(tuple(prefix[0, 1:].tolist()), float(score[0]), False)
    best, written = max(ended, key=lambda one: one[0])
    return Hypothesis(written, best, True)
