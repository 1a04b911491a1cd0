"""A model as a folder to upload to the Hugging Face hub: weights, tokenizer, and a card with what is known of the model.

Nothing is uploaded, and nothing is made up: facts that are not on disk are missing from the card, and `gaps` names them. Paths of
this machine are cut to their last part.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import complete_or_absent
from ..compress.masks import save_masks, sparsity_of
from ..errors import CodepruneError
from ..families.weightfiles import find_weights, read_tensors
from ..model import MASKS, is_finetuned, load_masks, load_model, load_reader, save_model
from ..recipe import NEW_MODEL, Recipe, load_recipe, to_toml
from ..regularfile import UnfitFileError, read_facts, read_text
from ..run.encoder_off import DECIDES, carries, silence
from ..run.folder import RunPaths, read_metrics
from ..run.results import ENCODER_OFF, FLOORS, MEASURES, TITLES, Result, of_metrics
from ..score.interval import Difference, Interval
from ..score.metrics import TRUST
from ..spec.layout import locate
from .codexglue import refuse_existing

CARD = "README.md"
CARD_BYTES = 1_000_000
_LICENCE = re.compile(r"^license:\s*([\w.+-]+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Facts:
    """The known facts of a model, read from the files around it."""

    name: str
    licence: str
    """Licence in its own card, or in that of the model it was made from; "" where neither names one."""
    result: Result | None = None
    recipe: Recipe | None = None
    meta: Mapping[str, object] | None = None
    off_is_own: bool = False
    """Whether this very model was scored with its encoder off, and not the dense one of its run."""


def export_hub(source: str | Path, name: str, folder: Path) -> list[str]:
    """Writes the folder.

    Args:
        source: Folder or hub name of a model; for a round of a run, the card includes its recipe, data and scores.
        name: What the user called it.
        folder: Must not exist.

    Returns:
        The gaps of the card, half a sentence each.

    Raises:
        ModelError: The model cannot be loaded, or the folder exists.
    """
    refuse_existing(folder)
    model, reader, masks = load_model(source), load_reader(source), load_masks(source)
    facts = read_facts_around(find_weights(source).parent, name)
    parameters = sum(weight.numel() for weight in model.parameters())
    about = [
        f"encoder of {model.config.num_hidden_layers} layers, width {model.config.hidden_size}; decoder of "
        f"{model.config.decoder_layers} layers",
    ]
    if model.config.quantization is not None:
        about.append(f"quantized: {model.config.quantization}")
    if not is_finetuned(source):
        about.append("the decoder is untrained: its comments mean nothing before it is fine-tuned")
    sparsity = {key: (sparsity_of(group), len(group)) for key, group in _by_layer(masks).items()}
    with complete_or_absent(folder) as draft:
        save_model(model, reader, draft, half=_is_half(find_weights(source)))
        if masks:
            save_masks(masks, draft / MASKS)
        size_bytes = sum(file.stat().st_size for file in draft.iterdir())
        about.insert(0, f"{parameters:,} parameters, {size_bytes / 1e6:.1f} MB")
        (draft / CARD).write_text(card(facts, about, sparsity), encoding="utf-8")
    return gaps(facts)


def _is_half(path: Path) -> bool:
    """Whether a weights file holds float16: loaded models are in float32, and the file need not become twice as large."""
    return {tensor.dtype for tensor in read_tensors(path).values() if tensor.is_floating_point()} == {torch.float16}


def read_facts_around(folder: Path, name: str) -> Facts:
    """Reads the facts of a model from the files beside it and from those of its run."""
    run, title = folder, Path(name).name
    if folder.parent.name == "rounds" and folder.name.isdigit():
        run = folder.parent.parent
        title = f"{run.name}, round {int(folder.name)}"
    elif folder == RunPaths(folder.parent).shrunk:
        run = folder.parent
        title = f"{run.name}, shrunk"
    recipe = meta = None
    with suppress(CodepruneError):
        recipe = load_recipe(run / "recipe.toml")
    with suppress(OSError):
        meta = read_facts(run / "meta.json")
    metrics, dense = read_metrics(folder), read_metrics(RunPaths(run).round(0))
    licence = _licence(folder) or (_licence(Path(recipe.model.path)) if recipe is not None else "")
    result = of_metrics(metrics, dense) if metrics else None
    return Facts(title, licence, result, recipe, meta, off_is_own=bool(metrics and ENCODER_OFF in metrics))


def gaps(facts: Facts) -> list[str]:
    """The facts that are missing from the card, half a sentence each."""
    scores = facts.result.scores if facts.result is not None else {}
    off = facts.result.floors.get(ENCODER_OFF) if facts.result is not None else None
    command = "evaluate MODEL --encoder-off --json > metrics.json beside the weights"
    how = command if facts.recipe is None else "its run is of an older version, which did not measure it"
    missing = {
        "the licence of what it was made from: write it into the card's first lines": not facts.licence,
        f"scores: {command}": not scores,
        f"the floor encoder off: {how}": bool(scores) and not off,
        "recipe and data, which only a round of a run has": facts.recipe is None or facts.meta is None,
    }
    return [text for text, is_missing in missing.items() if is_missing]


def card(facts: Facts, about: list[str], sparsity: Mapping[str, tuple[float, int]]) -> str:
    """The card's text.

    Args:
        facts: What is known.
        about: Lines about sizes.
        sparsity: Layer -> share of its pruned weights, and of how many matrices.
    """
    lines = [
        "---", "language: [code, en]", f"license: {facts.licence or 'unknown'}", "library_name: codeprune-tui",
        "tags: [code-to-text, code-summarization, ruby, pruning]", "---", "",
        f"# {_safe(facts.name)}", "", *_silence(facts), "One Ruby method in, one English comment out.", "",
        *(f"- {line}" for line in about), "",
        "## How to load it", "",
        "```python", "from core.model import load_model, load_reader  # where codeprune-tui is installed", "",
        'model, reader = load_model("OWNER/NAME"), load_reader("OWNER/NAME")', "```", "",
        "or `codeprune-tui comment FILE.rb --model OWNER/NAME`.", "",
    ]  # fmt: skip
    lines += _scores(facts) + _sparsity(sparsity) + _origin(facts)
    return "\n".join(lines)


def _silence(facts: Facts) -> list[str]:
    """What comes before everything else where the encoder carries nothing."""
    less = facts.result.dense_less if facts.result is not None else {}
    if carries(less) is not False:
        return []
    of = "this model" if facts.off_is_own else "dense"
    sentence = silence(less[DECIDES], _with_interval(less[DECIDES]), "A study of this model", of)
    return [f"**{sentence}**", ""]


def _with_interval(difference: Difference) -> str:
    return f"{difference.value:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})"


def _scores(facts: Facts) -> list[str]:
    result = facts.result
    if result is None or not result.scores:
        return ["## Scores", "", "Not measured.", ""]
    measures = [name for name in TITLES if name in result.scores]

    def row(title: str, scores: Mapping[str, float], spreads: Mapping[str, Interval] = {}) -> str:
        cells = [
            f"{scores[name]:.2f}" + (f" ({spreads[name].low:.2f} to {spreads[name].high:.2f})" if name in spreads else "")
            if name in scores
            else ""
            for name in measures
        ]
        return f"| {' | '.join([title, *cells])} |"

    lines = [
        "## Scores",
        "",
        f"{result.rows:,} rows of `{_safe(result.split)}`; in brackets 95 % intervals.",
        "",
    ]
    lines += [f"| | {' | '.join(TITLES[name] for name in measures)} |", f"|---|{'---:|' * len(measures)}"]
    lines += [row("this model", result.scores, result.intervals)]
    lines += [row(f"floor: {FLOORS[name]}", scores) for name, scores in result.floors.items() if name in FLOORS]
    if off := result.floors.get(ENCODER_OFF):
        lines.append(row("floor: encoder off" if facts.off_is_own else "floor: encoder off, of the dense model", off))
    lines += ["", _floors_are(bool(off)), TRUST, ""]
    if (less := result.dense_less.get(DECIDES)) is not None:
        lines += [
            f"{'This' if facts.off_is_own else 'Dense'} model minus encoder off: {_with_interval(less)} {MEASURES[DECIDES]}.",
            "",
        ]
    lines += [f"- {_safe(name)}: `{_safe(text)}`" for name, text in result.signatures.items()]
    if result.ms_per_row is not None:
        lines += ["", f"Speed: {result.ms_per_row:.1f} ms a method ({_safe(result.decoded_on)})."]
    return [*lines, ""]


def _floors_are(with_off: bool) -> str:
    which = "Encoder off is a model without its encoder layers; the other floors" if with_off else "Floors"
    return f"{which} are programs that read no code, on the same rows."


def _sparsity(sparsity: Mapping[str, tuple[float, int]]) -> list[str]:
    if not sparsity:
        return ["## Sparsity", "", "Dense: nothing was pruned.", ""]
    lines = ["## Sparsity", "", "| layer | pruned | matrices with masks |", "|---|---:|---:|"]
    return [*lines, *(f"| {name} | {100 * share:.1f} % | {count} |" for name, (share, count) in sparsity.items()), ""]


def _origin(facts: Facts) -> list[str]:
    lines = ["## Where it comes from", ""]
    if facts.recipe is not None:
        made_from = "weights drawn at random"
        if facts.recipe.model.path != NEW_MODEL:
            made_from = f"`{_safe(_last(facts.recipe.model.path))}`"
        lines.append(f"Made from {made_from} on `{_safe(_last(facts.recipe.data.path))}`.")
    lines.append(f"Licence of the model it was made from: {facts.licence or 'not stated in its files'}.")
    if facts.meta is not None:
        data, versions = facts.meta.get("data"), facts.meta.get("versions")
        digests = data if isinstance(data, dict) else {}
        lines += ["", *(f"- data, {_safe(split)}: sha256 `{_safe(digest)}`" for split, digest in digests.items())]
        lines += [f"- {_safe(name)} {_safe(value)}" for name, value in versions.items()] if isinstance(versions, dict) else []
        lines += [f"- device: {_safe(facts.meta.get('device'))}, seed {_safe(facts.meta.get('seed'))}"]
    if facts.recipe is not None:
        lines += ["", "The recipe:", "", "```toml", to_toml(_without_paths(facts.recipe)).rstrip(), "```"]
    return [*lines, ""]


def _without_paths(recipe: Recipe) -> Recipe:
    """The recipe with paths of this machine cut to their last part."""
    model = recipe.model.model_copy(update={"path": _last(recipe.model.path)})
    data = recipe.data.model_copy(update={"path": _last(recipe.data.path), "code": _last(recipe.data.code)})
    evaluation = recipe.evaluation.model_copy(update={"embedder": _last(recipe.evaluation.embedder)})
    return recipe.model_copy(update={"model": model, "data": data, "evaluation": evaluation})


def _last(path: str) -> str:
    """A hub name unchanged, or the last part of a path on this machine."""
    return Path(path).name if path.startswith(("/", "~", ".")) else path


def _safe(text: object) -> str:
    """Text from outside, without characters that Markdown would interpret."""
    return re.sub(r"[^\w .,:;()+=#%|/-]", "_", str(text))[:300]


def _licence(folder: Path) -> str:
    try:
        text = read_text(folder / CARD, CARD_BYTES)
    except (OSError, UnfitFileError):
        return ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    entry = _LICENCE.search(head)
    return entry[1] if entry else ""


def _by_layer(masks: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, mask in masks.items():
        place = locate(name)
        key = "other" if place is None else "pooler" if place.part == "pooler" else f"{place.part} {place.layer + 1}"
        groups.setdefault(key, {})[name] = mask
    return groups
