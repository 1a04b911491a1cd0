"""Kinds and limits of the entries of a model's `config.json`, checked before a model is made from them.

The limits lie far above existing models (the largest RoBERTa: 24 layers of width 1,024); beyond them are only mistakes and files
made to exhaust a machine. Torch-free, so that a form refuses what a worker would.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from ..errors import ModelError

SIZES: dict[str, tuple[int, int]] = {
    "vocab_size": (5, 5_000_000),
    "hidden_size": (1, 16_384),
    "num_hidden_layers": (0, 1_000),
    "num_attention_heads": (1, 1_024),
    "intermediate_size": (1, 131_072),
    "max_position_embeddings": (5, 1_000_000),  # RoBERTa counts from 2, and <s> and </s> take two
    "type_vocab_size": (1, 1_000),
    "decoder_layers": (0, 1_000),
    "decoder_heads": (1, 1_024),
    "decoder_ffn": (1, 65_536),
}
"""Whole numbers: name -> least, most."""

LISTS = {
    "heads_by_layer": ("num_attention_heads", "num_hidden_layers"),
    "neurons_by_layer": ("intermediate_size", "num_hidden_layers"),
    "decoder_heads_by_layer": ("num_attention_heads", "decoder_layers"),
    "cross_heads_by_layer": ("num_attention_heads", "decoder_layers"),
    "decoder_neurons_by_layer": ("decoder_ffn", "decoder_layers"),
}
"""Whole numbers from 0, one for each layer: name -> the entry whose upper limit applies to each, the entry with the number of
layers."""

SHARES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "decoder_dropout")
"""Numbers in [0, 1]."""

POSITIVE = ("initializer_range", "layer_norm_eps")
"""Numbers from 0 to 10."""

SWITCHES = ("split_identifiers", "pretrained_only")
"""True or false."""

NULLABLE = ("decoder_heads", "quantization", *LISTS)
"""Entries that may be null, that is, not given."""

TEXTS = ("hidden_act", "quantization")
"""Names, whose values are checked where they are used."""


def field_problem(facts: Mapping[str, object]) -> str | None:
    """The problem of the first impossible entry, in words that follow the file's name; None where there is none.

    Args:
        facts: Entries of a `config.json`; unknown names are ignored.
    """
    for name, value in facts.items():
        if value is None and name in NULLABLE:
            continue
        if allowed := _broken_rule(name, value):
            return f"holds an entry that cannot be used: {name} = {short(value)}, where {allowed} belongs"
    width, heads = facts.get("hidden_size"), facts.get("num_attention_heads")
    if isinstance(width, int) and isinstance(heads, int) and width % heads:
        return f"asks for {heads} heads in a width of {width}, which they do not divide"
    for name, (_, depth) in LISTS.items():
        entries, layers = facts.get(name), facts.get(depth)
        if isinstance(entries, list) and isinstance(layers, int) and len(entries) != layers:
            return f"has {len(entries)} entries in {name}, but asks for {layers} layers"
    return None


def check_fields(facts: Mapping[str, object], path: Path) -> None:
    """Refuses a configuration with an impossible entry.

    Args:
        facts: As for `field_problem`.
        path: The `config.json`, for the error.

    Raises:
        ModelError: Names the entry, its possible values, and the file.
    """
    if problem := field_problem(facts):
        raise ModelError(f"{path} {problem}.", "Correct it, or copy the file again.")


def short(value: object, most: int = 60) -> str:
    """A value for the text of an error, however large or deeply nested."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists inside lists
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= most else f"{text[:most]}…"


def _broken_rule(name: str, value: object) -> str:
    """The rule for `name` where `value` breaks it; else empty."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in SIZES:
        least, most = SIZES[name]
        whole = number and isinstance(value, int) and least <= value <= most
        return "" if whole else f"a whole number from {least} to {most:,}"
    if name in LISTS:
        most = SIZES[LISTS[name][0]][1]
        fits = isinstance(value, list) and all(type(each) is int and 0 <= each <= most for each in value)
        return "" if fits else f"a list with a whole number from 0 to {most:,} for each layer"
    if name in SHARES or name in POSITIVE:
        top = 1 if name in SHARES else 10
        inside = number and isinstance(value, int | float) and 0 <= value <= top and math.isfinite(value)
        return "" if inside else f"a number from 0 to {top}"
    if name in SWITCHES:
        return "" if isinstance(value, bool) else "true or false"
    if name in TEXTS:
        return "" if isinstance(value, str) else "a text"
    return ""
