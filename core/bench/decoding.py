"""Compares decoding with one example at a time without a cache, and with `transformers`' `generate`.

The bundled model ends its comments itself. The random base model never ends one, so both sides write as many tokens as a comment
has on average.
"""

from ..decode import beam_search
from ..families.bart import as_bart, generate
from .ground import Ground
from .measure import Result, faster, in_turn, timed
from .reference import slow_beam_search

NAME, GENERATE, GREEDY = "decoding", "generate", "greedy"
BEAM, BATCH, GREEDY_BATCH, LONGEST = 10, 16, 32, 64
CUDA_BATCH, CUDA_ROWS = 128, 1400
SLOW_GOALS = {"mini": 20.0, "base": 16.0}


def length(ground: Ground, size: str) -> int:
    """Most tokens to write."""
    if ground.quick:
        return 8
    return LONGEST if size == "mini" else ground.usual_length


def groups_of(ground: Ground, size: str) -> int:
    """Number of batches of like length: short, middle and long ones; for base, which is slow, only the middle one."""
    return 1 if ground.quick or size == "base" else 3


def decoding(ground: Ground, size: str) -> list[Result]:
    """Beam 10 in batches of 16 against one example at a time; the slow side decodes a share of the rows in each turn."""
    model, most, times = ground.model(size), length(ground, size), 1 if ground.quick else 4 if size == "mini" else 2
    cuda = ground.device.type == "cuda"
    batch = CUDA_BATCH if cuda else BATCH
    sources = ground.sources(CUDA_ROWS) if cuda else ground.sources(batch * groups_of(ground, size), batch)
    count = len(sources)
    stride = count // 4 if cuda else 8 if ground.quick or size == "base" else 12
    # Sources come in the order of their length: shares whose middle is the batch's middle.
    first = [turn * (stride - 1) // (times - 1) if times > 1 else (stride - 1) // 2 for turn in range(times)]
    fast: list[tuple[int, ...]] = []
    slow: dict[int, list[tuple[int, ...]]] = {}

    def ours(turn: int) -> float:
        def decode() -> None:
            fast[:] = [best[0].tokens for best in beam_search(model, sources, beam=BEAM, max_length=most, batch_size=batch)]

        return timed(decode, ground.synchronise) / count

    def theirs(turn: int) -> float:
        def decode() -> None:
            slow[turn] = [slow_beam_search(model, source, BEAM, most).tokens for source in sources[first[turn] :: stride]]

        return timed(decode, ground.synchronise) / len(slow[turn])

    ours(0)
    sides = in_turn(ours, theirs, times, warm=False)
    pairs = [pair for turn in slow for pair in zip(fast[first[turn] :: stride], slow[turn], strict=True)]
    least = 60.0 if cuda and size == "base" else None if cuda else SLOW_GOALS[size]
    what = f"beam {BEAM} over {count:,} rows, batch {batch}, at most {most} tokens"
    return [faster(NAME, size, what, "one example, prefix recomputed", sides, least, note=_same(pairs))]


def against_generate(ground: Ground, size: str) -> list[Result]:
    """Beam search against the same beam and batch in `transformers`."""
    return [_generate(ground, size, GENERATE, BEAM, BATCH, 4.0)]


def greedy(ground: Ground, size: str) -> list[Result]:
    """Greedy decoding against `transformers`."""
    return [_generate(ground, size, GREEDY, 1, GREEDY_BATCH, 3.0)]


def _generate(ground: Ground, size: str, name: str, beam: int, batch: int, least: float) -> Result:
    model, most = ground.model(size), length(ground, size)
    bart, sources = as_bart(model), ground.sources(batch * groups_of(ground, size), batch)
    written: dict[str, list[tuple[int, ...]]] = {}

    def ours(turn: int) -> float:
        def decode() -> None:
            best = beam_search(model, sources, beam=beam, max_length=most, batch_size=batch)
            written["ours"] = [hypotheses[0].tokens for hypotheses in best]

        return timed(decode, ground.synchronise) / len(sources)

    def theirs(turn: int) -> float:
        def decode() -> None:
            parts = [sources[first : first + batch] for first in range(0, len(sources), batch)]
            written["theirs"] = [tokens for part in parts for tokens in generate(bart, part, beam=beam, max_length=most)]

        return timed(decode, ground.synchronise) / len(sources)

    times = 1 if ground.quick else 5 if size == "mini" else 2
    sides = in_turn(ours, theirs, times, warm=not ground.quick and size == "mini")
    note = _same(list(zip(written["ours"], written["theirs"], strict=True)))
    how = f"beam {beam}" if beam > 1 else "greedy"
    what = f"{how}, batch {batch}, at most {most} tokens"
    return faster(name, size, what, "transformers generate", sides, least, note=note)


def _same(pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    return f"the same comment for {sum(one == other for one, other in pairs)} of {len(pairs)} rows"
