"""The results of a beam search, their order, and the checks of its settings. Without torch, because two runtimes search.

Source: CodeXGLUE, Code-Text/code-to-text (`Beam`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ModelError
from .families.config import CodeToTextConfig
from .families.family import Special
from .recipe import Search


@dataclass(frozen=True)
class Hypothesis:
    """One comment that a beam search found."""

    tokens: tuple[int, ...]
    """Token ids without the leading `<s>` and the closing `</s>`."""
    score: float
    """Sum of the tokens' log-probabilities in nats, that of `</s>` included."""
    finished: bool
    """Whether `</s>` came before `max_length` tokens were written."""


def final(
    tokens: list[list[int]], parents: list[list[int]], scores: list[list[float]], *, search: Search, end: int
) -> list[Hypothesis]:
    """The hypotheses of one example, in the reference's order.

    Args:
        tokens: For each step, the token in each place.
        parents: For each step, the place each place came from.
        scores: For each step, the score of each place.
        search: The settings.
        end: The token that ends a sentence.

    Returns:
        As many hypotheses as `search` asks for; if none has ended, the first stands twice, as in the reference.
    """
    last = len(tokens) - 1
    ended = [(time, place) for time, row in enumerate(tokens) for place, token in enumerate(row) if token == end]
    picked = sorted(ended or [(last, 0)], key=lambda at: -scores[at[0]][at[1]] / (at[0] + 1) ** search.length_penalty)
    unfinished = sorted(
        ((last, place) for place in range(search.beam) if tokens[last][place] != end), key=lambda at: -scores[at[0]][at[1]]
    )
    results = []
    for time, place in (picked + unfinished)[: search.n_best]:
        score, finished = scores[time][place], tokens[time][place] == end
        path = []
        for step in range(time, -1, -1):
            path.append(tokens[step][place])
            place = parents[step][place]
        results.append(Hypothesis(tuple(reversed(path[1:] if finished else path)), score, finished))
    return results


def numbers(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Returns the hypotheses if their scores are numbers.

    Args:
        hypotheses: Those of one example.

    Raises:
        ModelError: A score is not a number.
    """
    if any(hypothesis.score != hypothesis.score for hypothesis in hypotheses):
        raise ModelError(
            "The model's output is not a number (NaN), so no comment can be chosen.",
            "Its weights are damaged or overflow in half precision: load it in float32, or go back to an earlier round.",
        )
    return hypotheses


def check_search(config: CodeToTextConfig, special: Special, sources: Sequence[Sequence[int]], search: Search) -> None:
    """Refuses settings and sources that a search cannot use.

    Args:
        config: Of the model.
        special: Its special tokens.
        sources: Token ids.
        search: The settings.

    Raises:
        ModelError: Names the setting or source that does not fit.
    """
    vocab, positions = config.vocab_size, config.positions
    limits = {
        "beam": (search.beam, vocab, "the vocabulary's size"),
        "max_length": (search.max_length, positions, "the positions the model has"),
        "n_best": (search.n_best, search.beam, "the beam"),
    }
    if search.batch_size < 0:
        raise ModelError(f"batch_size is {search.batch_size}, but must be 0 or more.", "0 takes what the device has room for.")
    for name, (given, most, why) in limits.items():
        if not 1 <= given <= most:
            raise ModelError(f"{name} is {given}, but must be between 1 and {most} ({why}).", f"Choose another {name}.")
    if not 0 <= search.length_penalty <= 10:  # also refuses NaN
        raise ModelError(
            f"length_penalty is {search.length_penalty}, but must be between 0 and 10.", "0 is none, 1 a token's mean."
        )
    for row, source in enumerate(sources):
        if not 0 < len(source) <= positions:
            raise ModelError(
                f"Source {row} has {len(source)} tokens, but the model reads between 1 and {positions}.",
                "Cut longer sources, and give an empty text as <s></s>.",
            )
        if min(source) < 0 or max(source) >= vocab:
            wrong = next(token for token in source if not 0 <= token < vocab)
            raise ModelError(
                f"Source {row} holds token id {wrong}, but the model's vocabulary ends at {vocab - 1}.",
                "Use the tokenizer that belongs to this model.",
            )
        if all(token == special.pad for token in source):
            raise ModelError(f"Source {row} holds nothing but padding.", "Give an empty text as <s></s>.")
