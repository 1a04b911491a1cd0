"""Values for the form's model and data fields: bundled ones, rounds of runs, folders nearby, the hub's cache.

The search looks into the working directory and the folder of runs, two levels deep and at `MOST_FOLDERS` folders at most; it
reads names and `config.json`, never weights. Others have named what it finds: labels are made harmless here, values stay as they
are. Imports neither torch nor Textual; huggingface_hub only for its cache.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.recipe import NEW_MODEL
from core.regularfile import real
from core.spec import sizes
from core.text.splits import in_folder

from .. import bundle
from ..views.plain import plain
from ..views.text import count, held_against
from . import devices, models

MOST_FOLDERS = 2000
"""Most folders that are looked at in all; a working directory may be a home directory."""
DEPTH = 2
SPLITS = ("train", "valid", "test")
MOST_FILES = 2000
"""Names looked at in one folder of Ruby files."""
LABEL = 200
KINDS = {"parquet": "parquet", "saved": "saved by datasets", "ruby": "Ruby files"}


@dataclass(frozen=True)
class Candidate:
    """One thing to choose."""

    value: str
    """The value that the field is set to."""
    label: str
    """Safe to show."""
    detail: str
    """More about it, safe to show."""


Source = Callable[[], list[Candidate]]


def sources(key: str, checkpoints: Path) -> tuple[Source, ...]:
    """The sources of a key's values, quick ones first; each may take a moment and belongs into a thread.

    Args:
        key: One of `PICKABLE`.
        checkpoints: Folder of all runs.
    """
    places = (Path(), checkpoints)
    return {
        "model.path": (lambda: local_models(checkpoints), lambda: nearby_models(places), lambda: hub("model")),
        "data.path": (bundled_data, lambda: nearby_data(places), lambda: hub("dataset")),
        "data.code": (bundled_code, lambda: nearby_code(places)),
        "training.device": (computing, gpus),
    }[key]


PICKABLE = {
    "model.path": "Which model?",
    "data.path": "Which data?",
    "data.code": "Which further Ruby code?",
    "training.device": "Which device?",
}
"""Keys that can be chosen from a list -> what the list asks."""


def computing() -> list[Candidate]:
    """The devices that have no number."""
    return [
        Candidate("auto", "auto", "the GPU with the most free memory where there is one, else the CPU"),
        Candidate("cpu", "cpu", "the CPU"),
    ]


def gpus() -> list[Candidate]:
    """Each GPU with its free memory and its users."""
    return [Candidate(value, f"{value}  {name}", detail) for value, name, detail in devices.gpus()]


def local_models(checkpoints: Path) -> list[Candidate]:
    """The bundled models, an untrained one, and every round of every run that has its weights."""
    candidates = [
        Candidate(f"{bundle.PREFIX}{model.name}", plain(model.name, LABEL), _about_bundled(model)) for model in bundle.models()
    ]
    candidates.append(Candidate(NEW_MODEL, NEW_MODEL, "untrained, with the sizes of [architecture]"))
    candidates += [
        Candidate(shortest(Path(choice.path)), choice.label, "run")
        for choice in models.choices(checkpoints)
        if choice.run and sizes.read_config(Path(choice.path)) is not None
    ]
    return candidates


def nearby_models(places: tuple[Path, ...]) -> list[Candidate]:
    """Folders with a `config.json` of a model that can be loaded, and weights beside it."""
    return [
        Candidate(shortest(folder), _label(folder), "folder")
        for folder in folders(places)
        if any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))
        and sizes.read_config(folder) is not None
    ]


def bundled_data() -> list[Candidate]:
    """The bundled corpus."""
    return [
        Candidate(f"{bundle.PREFIX}{folder.name}", plain(folder.name, LABEL), f"came with codeprune-tui · {splits_of(folder)}")
        for folder in _subfolders(bundle.folder())
        if splits_of(folder)
    ]


def nearby_data(places: tuple[Path, ...]) -> list[Candidate]:
    """Folders with train, valid or test, as rows or as Ruby files."""
    splits = ((folder, splits_of(folder)) for folder in folders(places))
    return [Candidate(shortest(folder), _label(folder), f"folder · {what}") for folder, what in splits if what]


def bundled_code() -> list[Candidate]:
    """The training files of the bundled corpus."""
    train_folders = (folder / "train" for folder in _subfolders(bundle.folder()))
    return [
        Candidate(
            f"{bundle.PREFIX}{folder.parent.name}/train",
            f"{plain(folder.parent.name, LABEL)}/train",
            "came with codeprune-tui · Ruby files",
        )
        for folder in train_folders
        if _has_ruby(folder)
    ]


def nearby_code(places: tuple[Path, ...]) -> list[Candidate]:
    """Folders with Ruby files directly in them."""
    return [Candidate(shortest(folder), _label(folder), "Ruby files") for folder in folders(places) if _has_ruby(folder)]


def hub(kind: str) -> list[Candidate]:
    """The content of the Hugging Face cache, by hub names.

    Args:
        kind: "model" or "dataset".
    """
    from huggingface_hub import scan_cache_dir  # a third of a second, and most never ask
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except (CacheNotFound, OSError, ValueError):
        return []
    named = sorted((repo for repo in repos if repo.repo_type == kind), key=lambda repo: repo.repo_id.lower())
    return [
        Candidate(repo.repo_id, plain(repo.repo_id, LABEL), f"downloaded from the hub · {repo.size_on_disk / 1e6:,.0f} MB")
        for repo in named
        if kind != "model" or any(_loadable(revision.snapshot_path) for revision in repo.revisions)
    ]


def _loadable(folder: Path) -> bool:
    return sizes.read_config(folder) is not None


def splits_of(folder: Path) -> str:
    """What a folder of data has, such as "train, valid as jsonl.gz"; "" where it is none."""
    kinds: dict[str, list[str]] = {}
    for split in SPLITS:
        try:
            place = in_folder(folder, split)
        except OSError:  # it may not be looked into
            continue
        if place is not None and (place.kind != "ruby" or _has_ruby(place.paths[0])):
            kind = place.paths[0].name.partition(".")[2] if place.kind == "jsonl" else KINDS[place.kind]
            kinds.setdefault(kind, []).append(split)
    return "; ".join(f"{', '.join(splits)} as {kind}" for kind, splits in kinds.items())


def folders(places: tuple[Path, ...]) -> Iterator[Path]:
    """Some folders and what lies below them, two levels deep, level by level; hidden ones and runs are left out.

    Args:
        places: Where to look.
    """
    level, seen = list(places), set[str]()
    looked = 0
    for depth in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen or looked == MOST_FOLDERS:
                continue
            seen.add(real)
            looked += 1
            yield folder
            if depth < DEPTH and not (folder / "recipe.toml").is_file():
                below += _subfolders(folder)
        level = below


def shortest(folder: Path) -> str:
    """A folder as a user would type it: relative to the working directory or to the bundle if it lies there, else absolute."""
    whole, bundled = real(folder), real(bundle.folder())
    if whole.is_relative_to(Path.cwd()):
        return str(whole.relative_to(Path.cwd()))
    return f"{bundle.PREFIX}{whole.relative_to(bundled)}" if whole.is_relative_to(bundled) else str(whole)


def _label(folder: Path) -> str:
    text = shortest(folder)
    return plain(text if len(text) <= LABEL else f"…{text[-LABEL:]}")


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and os.path.isdir(entry.path)]  # noqa: PTH112 - is_dir raises at a link in a circle
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _has_ruby(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".rb") for entry, _ in zip(entries, range(MOST_FILES), strict=False))
    except OSError:
        return False


def _about_bundled(model: bundle.BundledModel) -> str:
    parts = ["came with codeprune-tui", f"{count(model.parameters)} weights"]
    if model.bleu is not None:
        parts.append(f"BLEU {held_against(model.bleu, model.floors)}")
    return " · ".join(parts)


def matching(candidates: list[Candidate], text: str) -> list[Candidate]:
    """The candidates whose label, value or detail has every word of a text, whatever its case; in their order.

    Args:
        candidates: All of them.
        text: What was typed.
    """
    words = text.lower().split()
    return [each for each in candidates if all(word in f"{each.label} {each.value} {each.detail}".lower() for word in words)]
