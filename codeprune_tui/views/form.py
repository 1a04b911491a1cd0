"""The entries of the New run form turned into a recipe, or into problems, and both into text. Pure functions.

Follows `core.recipe` in everything: the form has no rules of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.recipe import Recipe, recipe_problems
from core.spec.schedule import entries_words, sparsities
from core.study.timings import trained_rounds

from .text import count, percent

Value = str | bool | int | float

COMMON = {
    "kind",
    "model.path",
    "data.path",
    "pruning.criterion",
    "pruning.scope",
    "pruning.prunable",
    "pruning.unit",
    "pruning.schedule",
    "pruning.rounds",
    "pruning.final_sparsity",
    "rewind.to",
    "picker.rule",
    "picker.every",
    "training.preset",
    "training.steps",
    "training.batch_size",
    "training.learning_rate",
    "training.seed",
    "training.device",
    "evaluation.split",
    "evaluation.rows",
    "evaluation.beam",
}
"""Keys that are always in view; the others are folded."""
FOLDED = ("architecture",)
"""Sections that are folded as a whole, and stand last."""


@dataclass(frozen=True)
class Outcome:
    """The recipe that the entries make, or their problems."""

    recipe: Recipe | None
    problems: Mapping[str, str] = field(default_factory=dict)
    """Key -> its problem; that of a combination stands under the key that is named first, or under "" if none is."""


def fields() -> dict[str, FieldInfo]:
    """Every key of a recipe with its description, dotted, folded sections last."""
    fields_by_key: dict[str, FieldInfo] = {}
    sections = sorted(Recipe.model_fields.items(), key=lambda item: item[0] in FOLDED)
    for name, info in sections:
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            fields_by_key |= {f"{name}.{key}": inner for key, inner in info.annotation.model_fields.items()}
        else:
            fields_by_key[name] = info
    return fields_by_key


def judge(entries: Mapping[str, Value]) -> Outcome:
    """Builds the recipe from the entries, or says what is wrong.

    Args:
        entries: Dotted key -> entry; keys that are missing have their defaults.
    """
    try:
        return Outcome(Recipe.model_validate(_nested(entries)))
    except ValidationError as error:
        problems: dict[str, str] = {}
        for key, sentence in recipe_problems(error):
            problems.setdefault(key if key in fields() else _first_named(key, sentence), sentence)
        return Outcome(None, problems)


def _first_named(section: str, sentence: str) -> str:
    """The key that a sentence about several keys names first, so that it can stand beside that key; "" if it names none."""
    places = {key: sentence.find(key if "." in key and not section else f"{key.rpartition('.')[2]} =") for key in fields()}
    named = {key: at for key, at in places.items() if at >= 0 and key.startswith(section)}
    return min(named, key=lambda key: (named[key], -len(key)), default="")


def _nested(entries: Mapping[str, Value]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for key, value in entries.items():
        section, _, name = key.rpartition(".")
        table = nested.setdefault(section, {}) if section else nested
        assert isinstance(table, dict)
        table[name] = value
    return nested


def values(recipe: Recipe) -> dict[str, Value]:
    """Every key's value, dotted."""
    flat: dict[str, Value] = {}
    for name, value in recipe.model_dump().items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def explicit_values(recipe: Recipe) -> dict[str, Value]:
    """The keys that have to be written: their values differ from the ones that they would have by default."""
    silent = values(Recipe.model_validate({"training": {"preset": recipe.training.preset}}))
    entries = {key: value for key, value in values(recipe).items() if value != silent[key]}
    if recipe.training.preset != Recipe().training.preset:
        entries["training.preset"] = recipe.training.preset
    return entries


def toml(recipe: Recipe) -> str:
    """The recipe as TOML, with only the keys that have to be written."""
    order = list(fields())
    return tomlkit.dumps(_nested(dict(sorted(explicit_values(recipe).items(), key=lambda item: order.index(item[0])))))


def total_steps(recipe: Recipe) -> int:
    """Optimizer steps of the whole run, if no round stops early."""
    return trained_rounds(recipe) * recipe.training.steps


def verdict(recipe: Recipe) -> str:
    """The recipe's size in one line."""
    rounds = f"{recipe.rounds + 1} rounds, " if recipe.rounds else ""
    steps = f"{count(total_steps(recipe))} steps × {count(recipe.training.batch_size)} rows"
    end = ""
    if recipe.rounds:
        pruning = recipe.pruning
        what = f"{pruning.speedup:g} × as fast" if pruning.budget == "latency" else f"{percent(sparsities(recipe)[-1])} pruned"
        end = f", up to {what}" if pruning.masked else ""
        end += f", {entries}" if (entries := entries_words(recipe)) else ""
    return f"{rounds}{steps}{end}"


def schedule_text(planned: Sequence[float], most: int = 12) -> str:
    """The sparsity after each round; the middle is left out if there are many."""
    shares = [percent(share).replace(" %", "") for share in planned]
    if len(shares) > most:
        shares = [*shares[: most - 2], "…", shares[-1]]
    return " → ".join(shares) + " %"
