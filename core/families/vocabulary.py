"""Which entries of a vocabulary stay, and the tokenizer without the others, under new ids.

Entries go one by one, the least used first, and what one was used for counts for the entries that stand in its place from then
on. An entry that a kept one is merged from stays with it, and so do all that nothing can replace: special tokens, bytes, single
characters. So every text can still be written, and one in whose tokens nothing was dropped is read in the same tokens as before.

Knows nothing of embeddings (`compress.shrink`) or rows. Source: the tokenizers' own rules: byte-level BPE merges pairs (Sennrich
et al. 2016), WordPiece takes the longest entry first (Wu et al. 2016).
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from ..errors import ModelError
from .reader import Reader

Pair = tuple[str, str]


def uses(sources: Iterable[Sequence[int]], targets: Iterable[Sequence[int]]) -> dict[int, int]:
    """How much each entry is used; the tokens of all sources together count as much as those of all comments.

    Args:
        sources: Token ids.
        targets: Token ids.

    Returns:
        Id -> uses; those that no text has are not named.
    """
    read, written = (Counter(token for text in texts for token in text) for texts in (sources, targets))
    all_read, all_written = max(1, read.total()), max(1, written.total())
    return {token: read[token] * all_written + written[token] * all_read for token in read | written}


def choose(tokenizer: Tokenizer, used: Mapping[int, int], most: int = 0) -> list[int]:
    """The entries that stay.

    Args:
        tokenizer: BPE or WordPiece.
        used: From `uses`.
        most: Entries that stay, where there are more; 0 = all that are used, and those that these are made of.

    Returns:
        Ids, ascending.

    Raises:
        ModelError: More than `most` cannot be done without.
    """
    facts = json.loads(tokenizer.to_str())
    ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    words: _Bpe | _WordPiece = _Bpe(facts, ids) if facts["model"]["type"] == "BPE" else _WordPiece(facts, ids)
    left = {token: used.get(number, 0) for token, number in ids.items()}
    waiting = [(left[token], -ids[token], token) for token in ids if words.may_go(token)]
    heapq.heapify(waiting)
    while waiting:
        count, _, token = heapq.heappop(waiting)
        if token not in words.kept or count != left[token] or not words.may_go(token):
            continue  # it has another place by now
        if len(words.kept) <= most if most else count:
            break
        instead, freed = words.drop(token)
        for other in instead:
            left[other] += count
        for other in {*instead, *freed}:
            if words.may_go(other):
                heapq.heappush(waiting, (left[other], -ids[other], other))
    if 0 < most < len(words.kept):
        raise ModelError(
            f"{len(words.kept):,} entries of the vocabulary cannot be done without (special tokens, bytes or single characters).",
            f"Let that many stay or more; {most:,} were asked for.",
        )
    return sorted(ids[token] for token in words.kept)


def cut_reader(reader: Reader, kept: Sequence[int]) -> Reader:
    """A reader without some entries; the others have new ids, in the old order.

    Args:
        reader: It stays as it is.
        kept: Old ids, from `choose`.

    Raises:
        ModelError: The tokenizer has a part whose ids cannot be changed.
    """
    number = {old: new for new, old in enumerate(kept)}
    facts = json.loads(reader.tokenizer.to_str())
    model = facts["model"]
    vocabulary = sorted((number[old], token) for token, old in model["vocab"].items() if old in number)
    model["vocab"] = {token: new for new, token in vocabulary}
    if "merges" in model:
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [list(pair) for pair in _pairs(model) if {*pair, _merged(pair, prefix)} <= model["vocab"].keys()]
    facts["added_tokens"] = [each | {"id": number[each["id"]]} for each in facts["added_tokens"] if each["id"] in number]
    _renumber(facts.get("post_processor"), number)
    tokenizer = Tokenizer.from_str(json.dumps(facts))
    before, after = (each.get_vocab(with_added_tokens=True) for each in (reader.tokenizer, tokenizer))
    if after != {token: number[old] for token, old in before.items() if old in number}:
        raise ModelError("The ids of this model's tokenizer cannot be changed.", 'Leave "vocabulary" out of pruning.unit.')
    return Reader(tokenizer, reader.steps)


class _Bpe:
    """Entries that are merged from others: one can go once nothing that stays is merged from it."""

    def __init__(self, facts: dict[str, Any], ids: Mapping[str, int]) -> None:
        model = facts["model"]
        self.kept = set(ids)
        self._made: dict[str, list[Pair]] = {}
        prefix, fixed = model.get("continuing_subword_prefix") or "", _fixed(facts, ids)
        for pair in _pairs(model):
            if (whole := _merged(pair, prefix)) in ids and whole not in fixed:
                self._made.setdefault(whole, []).append(pair)
        self._users = Counter(part for pairs in self._made.values() for pair in pairs for part in pair)
        # A fixed entry needs what it is merged from for good: it never goes, so its pairs stay counted.
        self._users.update(part for pair in _pairs(model) if _merged(pair, prefix) in fixed & ids.keys() for part in pair)

    def may_go(self, token: str) -> bool:
        return token in self._made and token in self.kept and not self._users[token]

    def drop(self, token: str) -> tuple[Sequence[str], Sequence[str]]:
        """Lets an entry go; returns those that stand in its place, and those that may be free to go now."""
        self.kept.remove(token)
        pairs = self._made[token]
        parts = [part for pair in pairs for part in pair]
        self._users.subtract(parts)
        return pairs[0], parts


class _WordPiece:
    """Entries of which the longest that fits is taken, again and again; a word of which a piece is missing is unknown."""

    def __init__(self, facts: dict[str, Any], ids: Mapping[str, int]) -> None:
        self._prefix: str = facts["model"]["continuing_subword_prefix"]
        self.kept = set(ids)
        fixed = _fixed(facts, ids)
        self._may_go = {token for token in ids if token not in fixed and self._is_spelt(token, ids)}

    def _is_spelt(self, token: str, ids: Mapping[str, int]) -> bool:
        """Whether an entry of several characters can be written in entries of one."""
        inside = token.startswith(self._prefix)
        letters = token.removeprefix(self._prefix)
        return len(letters) > 1 and all(
            (self._prefix if inside or place else "") + letter in ids for place, letter in enumerate(letters)
        )

    def may_go(self, token: str) -> bool:
        return token in self._may_go and token in self.kept

    def drop(self, token: str) -> tuple[Sequence[str], Sequence[str]]:
        """As `_Bpe.drop`."""
        self.kept.remove(token)
        return list(self._pieces(token)), ()

    def _pieces(self, token: str) -> Iterator[str]:
        place, inside, letters = 0, token.startswith(self._prefix), token.removeprefix(self._prefix)
        while place < len(letters):
            before = self._prefix if inside or place else ""
            end = next(end for end in range(len(letters), place, -1) if before + letters[place:end] in self.kept)
            yield before + letters[place:end]
            place = end


def _fixed(facts: dict[str, Any], ids: Mapping[str, int]) -> set[str]:
    """Entries that stay whatever is used: special and added tokens, and those that are put around every text."""
    around = {number for part in _template_parts(facts.get("post_processor")) for number in part["ids"]}
    own = {each["content"] for each in facts["added_tokens"]} | {facts["model"].get("unk_token")}
    return own | {token for token, number in ids.items() if number in around}


def _pairs(model: dict[str, Any]) -> Iterator[Pair]:
    """The merges of a BPE model; older files hold a pair as one text."""
    for pair in model["merges"]:
        first, second = pair.split(" ") if isinstance(pair, str) else pair
        yield first, second


def _merged(pair: Pair, prefix: str) -> str:
    return pair[0] + pair[1].removeprefix(prefix)


def _template_parts(processor: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The entries of a post-processor's templates that hold ids."""
    if not processor:
        return []
    inner = [part for each in processor.get("processors", ()) for part in _template_parts(each)]
    tokens = processor.get("special_tokens")
    return [*inner, *(tokens.values() if isinstance(tokens, dict) else ())]


def _renumber(processor: dict[str, Any] | None, number: Mapping[int, int]) -> None:
    """Gives the tokens that a post-processor puts around a text their new ids, in place."""
    for part in _template_parts(processor):
        part["ids"] = [number[old] for old in part["ids"]]
    for each in [processor, *processor.get("processors", ())] if processor else ():
        for name in {"sep", "cls"} & each.keys():
            token, old = each[name]
            each[name] = [token, number[old]]
