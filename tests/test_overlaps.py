"""Overlaps of masks against counting by hand, and what is compared with what."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_findings import RIGHT, a_run

from core.compress.figures import overlap as jaccard
from core.compress.masks import save_masks
from core.run.folder import RunPaths
from core.study.overlaps import Overlap, bits_of, overlap, overlaps
from core.study.runs import Run, group


def bits(tmp_path: Path, **masks: torch.Tensor) -> dict[str, object]:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
    save_masks(masks, path)
    read = bits_of(path)
    assert read is not None
    return read  # type: ignore[return-value]


def random(share: float, seed: int, rows: int = 7, columns: int = 13) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share


def test_the_overlap_equals_counting_by_hand(tmp_path: Path) -> None:
    ours = {"a": random(0.4, 1), "b": random(0.7, 2, 5, 5)}
    theirs = {"a": random(0.4, 3), "b": random(0.6, 4, 5, 5)}
    shared = overlap(bits(tmp_path, **ours), bits(tmp_path, **theirs))
    flat = [torch.cat([side[name].flatten() for name in side]) for side in (ours, theirs)]
    assert shared is not None
    assert shared.jaccard == pytest.approx(jaccard(*flat))
    both = sum(int(ours[name].sum()) * int(theirs[name].sum()) / ours[name].numel() for name in ours)
    kept = sum(int(side[name].sum()) for side in (ours, theirs) for name in side)
    assert shared.chance == pytest.approx(both / (kept - both))


def test_chance_is_what_random_masks_share(tmp_path: Path) -> None:
    shared = overlap(bits(tmp_path, a=random(0.3, 1, 300, 300)), bits(tmp_path, a=random(0.3, 2, 300, 300)))
    assert shared is not None
    assert shared.jaccard == pytest.approx(shared.chance, abs=0.01)
    assert shared.chance == pytest.approx(0.09 / 0.51, abs=0.01)


def test_edges(tmp_path: Path) -> None:
    empty, full = torch.zeros(3, 3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool)
    assert overlap(bits(tmp_path, a=empty), bits(tmp_path, a=empty)) == Overlap(1.0, 1.0)
    assert overlap(bits(tmp_path, a=empty), bits(tmp_path, a=full)) == Overlap(0.0, 0.0)
    assert overlap(bits(tmp_path, a=full), bits(tmp_path, b=full)) is None
    assert overlap(bits(tmp_path, a=full), bits(tmp_path, a=full[:2])) is None
    assert bits_of(tmp_path / "none") is None
    (tmp_path / "damaged").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    assert bits_of(tmp_path / "damaged") is None


def on_disk(run: Run, root: Path, masks: dict[int, torch.Tensor]) -> Run:
    paths = RunPaths(root / run.name)
    for number, mask in masks.items():
        save_masks({"a": mask}, paths.round(number) / "masks.safetensors")
    return replace(run, paths=paths)


def test_rounds_seeds_and_curves_are_compared(tmp_path: Path) -> None:
    levels, full = {0: RIGHT, 50: RIGHT, 90: RIGHT}, torch.ones(7, 13, dtype=torch.bool)
    runs = [
        on_disk(a_run(curve, seed, levels), tmp_path, {0: full, 1: random(0.5, seed), 2: random(0.1, seed)})
        for curve, seed in (("l1-b16-pretrained", 0), ("l1-b16-pretrained", 1), ("l1-b8-pretrained", 0))
    ]
    (runs[2].paths.round(2) / "masks.safetensors").unlink()  # type: ignore[union-attr]
    pairs = [(each.kind, each.first, each.second, each.levels) for each in overlaps(group(runs))]
    a, b, c = (run.name for run in runs)
    assert pairs == [
        ("rounds", a, a, (50, 90)),
        ("rounds", b, b, (50, 90)),
        ("seeds", a, b, (50, 50)),
        ("seeds", a, b, (90, 90)),
        ("curves", a, c, (50, 50)),
    ]
    assert overlaps(group([a_run("l1-b16-pretrained", 0, levels)])) == []
