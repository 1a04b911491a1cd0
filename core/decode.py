"""Beam search with the results of CodeXGLUE's `Beam`, for many examples at once and with a cache.

Where it differs from the usual beam search (Hugging Face's, for one): the end of a sentence takes a place in the beam and gets
no children; scores are plain sums of log-probabilities; an example is done once place 0 has been an end at some step and `beam`
sentences have ended; any ended sentence beats every one that has not. Among equal scores the lowest place, then the lowest
token comes first.

Knows nothing of text, tokenizers or BLEU. Source: CodeXGLUE, Code-Text/code-to-text (`Beam`, `Seq2Seq`).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .data import pad_lists
from .errors import ModelError
from .families.device import width_multiple
from .families.fitting import batch_that_fits
from .families.roberta import CodeToText
from .hypotheses import Hypothesis as Hypothesis
from .hypotheses import check_search, final, numbers
from .onnx.search import search_batches as onnx_batches
from .onnx.session import OnnxModel
from .recipe import Search
from .shortage import is_shortage, make_room

CHUNK = 64
"""Number of neighbouring candidates that `_top` first reduces to their maximum."""


def beam_search(
    model: CodeToText,
    sources: Sequence[Sequence[int]],
    *,
    beam: int,
    max_length: int,
    n_best: int = 1,
    batch_size: int = 0,
    length_penalty: float = 0.0,
) -> list[list[Hypothesis]]:
    """Writes comments for token lists, the best first.

    Args:
        model: On any device, in any floating-point type; its training mode is restored afterwards.
        sources: Token ids, `<s>` ... `</s>` without padding.
        beam: Places in the beam; 1 is greedy decoding.
        max_length: Most tokens to write, `</s>` included.
        n_best: Number of hypotheses per source, at most `beam`.
        batch_size: Number of sources decoded together, 0 = as many as fit on the device; on the CPU the result does not
            depend on it, on a GPU a product of another shape may round otherwise.
        length_penalty: Finished sentences are ordered by their score divided by their length to this power; 0 is the reference's
            order, 1 the mean log-probability of a token (Wu et al. 2016 use 0.6 to 1).

    Returns:
        Per source, in the given order, `n_best` hypotheses. If none has ended, the first stands twice, as in the reference.

    Raises:
        ModelError: If a number or a source does not fit the model.
    """
    return search_all(model, sources, Search(beam, max_length, n_best, batch_size, length_penalty))


def search_all(model: CodeToText | OnnxModel, sources: Sequence[Sequence[int]], search: Search) -> list[list[Hypothesis]]:
    """As `beam_search`, with its settings in one object.

    Raises:
        ModelError: If a number or a source does not fit the model.
    """
    hypotheses: list[list[Hypothesis]] = [[] for _ in sources]
    for rows, batch in search_batches(model, sources, search):
        for row, best in zip(rows, batch, strict=True):
            hypotheses[row] = best
    return hypotheses


def search_batches(
    model: CodeToText | OnnxModel, sources: Sequence[Sequence[int]], search: Search
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """As `search_all`, batch by batch, so that the caller may stop, wait or report progress in between.

    Arguments are checked at once, before the first batch is decoded. Sources of similar length are decoded together, the longest
    first, so that an estimate of the remaining time from the batches so far errs on the long side.

    Args:
        model: As for `beam_search`, in its own training mode whenever the caller has control; or a model in ONNX Runtime.
        sources: As for `beam_search`.
        search: The settings; batches that do not fit on the device are halved.

    Returns:
        Iterator over (row numbers in `sources`, their hypotheses).

    Raises:
        ModelError: If a number or a source does not fit the model.
    """
    if isinstance(model, OnnxModel):
        return onnx_batches(model, sources, search)
    check_search(model.config, model.special, sources, search)
    order = sorted(range(len(sources)), key=lambda row: (-len(sources[row]), row))
    longest = len(sources[order[0]]) if order else 0
    size = search.batch_size or batch_that_fits(model.config, model.device, search.beam, search.max_length, longest)

    def decode(rows: list[int]) -> list[list[Hypothesis]]:
        return _decode(model, [sources[row] for row in rows], search)

    return _in_batches(order, size, decode)


def _in_batches(
    order: list[int], size: int, decode: Callable[[list[int]], list[list[Hypothesis]]]
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """Decodes batch after batch; where one does not fit on the device, it and all later ones are halved."""
    start = 0
    while start < len(order):
        rows = order[start : start + size]
        hypotheses = _if_there_is_room(decode, rows)
        if hypotheses is None:
            size = len(rows) // 2
            make_room()  # only now: while the error was dealt with, it still held the batch
            continue
        yield rows, hypotheses
        start += len(rows)


def _if_there_is_room(decode: Callable[[list[int]], list[list[Hypothesis]]], rows: list[int]) -> list[list[Hypothesis]] | None:
    """The hypotheses of a batch, or None where it does not fit on the device.

    Raises:
        ModelError: Not even a batch of one fits.
    """
    try:
        return decode(rows)
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        if len(rows) > 1:
            return None
        raise ModelError(
            "The device has no room to decode even one source.", "Choose a smaller beam or shorter sources, or free memory."
        ) from error


@torch.inference_mode()
def _decode(model: CodeToText, sources: Sequence[Sequence[int]], search: Search) -> list[list[Hypothesis]]:
    """Decodes one batch, the longest source first."""
    padded = pad_lists([list(source) for source in sources], model.special.pad, width_multiple(model.device))
    was_training = model.training
    model.eval()
    try:
        ids = padded.to(model.device)
        return _greedy(model, ids, search.max_length) if search.beam == 1 else _beams(model, ids, search)
    finally:
        model.train(was_training)


def _greedy(model: CodeToText, sources: Tensor, max_length: int) -> list[list[Hypothesis]]:
    """Greedy decoding: a beam of one place, without its bookkeeping."""
    cache = model.prefill(sources)
    written: list[list[int]] = [[] for _ in sources]
    totals = [0.0] * len(sources)
    ended = [False] * len(sources)
    going = list(range(len(sources)))
    token = sources.new_full((len(sources), 1), model.special.begin)
    score = torch.zeros(len(sources), 1, device=sources.device)
    for _ in range(max_length):
        logits = model.step(token, cache)[:, 0].float()
        best, token = logits.max(1, keepdim=True)
        score = score + best - logits.logsumexp(1, keepdim=True)
        for example, new in zip(going, token[:, 0].tolist(), strict=True):
            ended[example] = new == model.special.end
            if not ended[example]:
                written[example].append(new)
        staying = [place for place, example in enumerate(going) if not ended[example]]
        if len(staying) < len(going):
            for example, total in zip(going, score[:, 0].tolist(), strict=True):
                totals[example] = total
            going = [going[place] for place in staying]
            if not going:
                break
            kept = torch.tensor(staying, device=sources.device)
            token, score = token[kept], score[kept]
            cache.keep(kept)
    for example, total in zip(going, score[:, 0].tolist(), strict=False):  # none are left where all have ended
        totals[example] = total
    return [numbers([Hypothesis(tuple(written[row]), totals[row], ended[row])]) for row in range(len(sources))]


def _beams(model: CodeToText, sources: Tensor, search: Search) -> list[list[Hypothesis]]:
    """Beam search over one batch; examples leave it as they are done."""
    beam, max_length = search.beam, search.max_length
    cache = model.prefill(sources)
    batch = len(sources)
    results: list[list[Hypothesis]] = [[] for _ in sources]
    going = list(range(batch))
    token = sources.new_full((batch, 1), model.special.begin)
    score = torch.zeros(batch, 1, device=sources.device)
    tokens = sources.new_empty(batch, max_length, beam)  # what each place held after each step, ...
    parents = torch.empty_like(tokens)  # ... which place it came from ...
    scores = score.new_empty(batch, max_length, beam)  # ... and its score
    top_ended = torch.zeros(batch, dtype=torch.bool, device=sources.device)
    count = sources.new_zeros(batch)
    best_ended = score.new_full((batch,), -torch.inf)
    for time in range(max_length):
        score, parent, token = _advance(model.step(token, cache), score.masked_fill(token == model.special.end, -torch.inf), beam)
        tokens[:, time], parents[:, time], scores[:, time] = token, parent, score
        end = token == model.special.end
        top_ended |= end[:, 0]
        count += end.sum(1)
        best_ended = best_ended.maximum(score.masked_fill(~end, -torch.inf).amax(1))
        done = top_ended & (count >= beam)
        # Scores only fall, so no unfinished sentence can overtake an ended one.
        if search.n_best == 1 and not search.length_penalty:
            done |= best_ended >= score.masked_fill(end, -torch.inf).amax(1)
        last = time + 1 == max_length
        leaving, slots = ([True] * len(going), []) if last else _on_host(done, cache.follow(parent))
        if any(leaving):
            places = [place for place, leaves in enumerate(leaving) if leaves]
            gone = torch.tensor(places, device=sources.device)
            trace = torch.stack([tokens[gone, : time + 1], parents[gone, : time + 1]]).tolist()
            for place, *history in zip(places, *trace, scores[gone, : time + 1].tolist(), strict=True):
                results[going[place]] = final(*history, search=search, end=model.special.end)
            staying = [place for place, leaves in enumerate(leaving) if not leaves]
            if not staying:
                break
            going = [going[place] for place in staying]
            kept = torch.tensor(staying, device=sources.device)
            cache.keep(kept)
            slots = [slots[place] for place in staying] if slots else slots
            token, score, tokens, parents, scores, top_ended, count, best_ended = (
                part.index_select(0, kept) for part in (token, score, tokens, parents, scores, top_ended, count, best_ended)
            )
        if slots:
            cache.compact(max(slots))
    return [numbers(hypotheses) for hypotheses in results]


def _on_host(done: Tensor, used: Tensor | None) -> tuple[list[bool], list[int]]:
    """Flags and numbers of a step in one copy: each copy waits for all that a GPU has been given to do.

    Args:
        done: (batch,) bool.
        used: (batch,) int64, or None.

    Returns:
        Both as lists; [] for None.
    """
    if used is None:
        return done.tolist(), []
    both = torch.stack([done, used]).tolist()
    return list(map(bool, both[0])), both[1]


def _advance(logits: Tensor, score: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best ways to add one token.

    Args:
        logits: (batch, places, vocab) of the next token.
        score: (batch, places) float32, of what each place holds; minus infinity where it has ended and gets no children.
        beam: Number of new places.

    Returns:
        Score, parent and token of the new places, (batch, beam) each, best first.
    """
    vocab = logits.shape[2]
    likely = logits.float().log_softmax(2)
    likely += score[..., None]
    top = _top if likely.device.type == "cpu" else _top_unwaited
    best, place = top(likely.flatten(1), beam)
    parent = place // vocab
    return best, parent, place - parent * vocab


def _top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest values of each row; among equal ones the lowest place comes first.

    `topk` leaves the order of equal values open, so its result is only used where the k-th and the next value differ.

    Args:
        values: (rows, n) float32, n >= k.
        k: How many.

    Returns:
        Values and places, (rows, k) each, largest first.
    """
    n = values.shape[1]
    if n <= 2 * CHUNK * (k + 1):
        best, place = values.topk(min(k + 1, n), 1)
    else:  # the k + 1 largest lie in the k + 1 chunks with the largest maxima: far less to sort
        rest = -n % CHUNK
        chunks = torch.nn.functional.pad(values, (0, rest), value=-torch.inf).view(len(values), -1, CHUNK)
        chosen = chunks.amax(2).topk(k + 1, 1).indices  # (rows, k + 1)
        few = chunks.gather(1, chosen[..., None].expand(-1, -1, CHUNK)).flatten(1)
        best, where = few.topk(k + 1, 1)
        place = chosen.gather(1, where // CHUNK) * CHUNK + where % CHUNK
    if n > k and bool((best[:, k - 1] == best[:, k]).any()):
        place = _first_of_equals(values, best[:, k - 1 : k], k)
    place = place[:, :k].sort(1).values
    best, by_value = values.gather(1, place).sort(dim=1, descending=True, stable=True)
    return best, place.gather(1, by_value)


def _top_unwaited(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `_top`, without looking at a value on the way, for which a GPU would have to be waited for.

    Stable sorts put the first of equals first, so there is nothing to look at. Among the chunks whose maximum is the k-th largest
    value, the first k + 1 hold every place that can be wanted. On the CPU sorting takes longer than looking.
    """
    n = values.shape[1]
    if n <= 2 * CHUNK * (k + 1):
        best, place = values.sort(dim=1, descending=True, stable=True)
        return best[:, :k], place[:, :k]
    chunks = torch.nn.functional.pad(values, (0, -n % CHUNK), value=-torch.inf).view(len(values), -1, CHUNK)
    chosen = chunks.amax(2).sort(dim=1, descending=True, stable=True).indices[:, : k + 1].sort(1).values
    few = chunks.gather(1, chosen[..., None].expand(-1, -1, CHUNK)).flatten(1)
    best, where = few.sort(dim=1, descending=True, stable=True)
    where = where[:, :k]
    return best[:, :k], chosen.gather(1, where // CHUNK) * CHUNK + where % CHUNK


def _first_of_equals(values: Tensor, smallest: Tensor, k: int) -> Tensor:
    """Places of the `k` largest values of each row, given the k-th largest; of values equal to it, the first places.

    Args:
        values: (rows, n).
        smallest: (rows, 1).
        k: How many.

    Returns:
        (rows, k) int64.
    """
    over = ~(values <= smallest)  # written this way round, NaN counts as large, as in `topk`
    equal = values == smallest
    chosen = over | (equal & (equal.cumsum(1) <= k - over.sum(1, keepdim=True)))
    return chosen.nonzero()[:, 1].view(-1, k)
