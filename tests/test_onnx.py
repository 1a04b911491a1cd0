"""Models in ONNX Runtime: the same comments as in PyTorch, found by the same search, without importing it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loading import tokenizer
from test_model import small_model

from core.compress.masks import apply_masks, save_masks
from core.decode import search_all
from core.errors import ModelError
from core.evaluate.comment import load_writer, write_comments
from core.evaluate.evaluate import evaluate_model
from core.export.onnx import Precision, export_onnx
from core.families.config import EOS, PAD
from core.hypotheses import Hypothesis
from core.model import load_model, load_reader, save_model
from core.onnx import search as onnx_search
from core.onnx.session import OnnxModel, load
from core.recipe import Evaluation, Search
from core.ruby import methods
from core.spec.checkpoint_files import is_onnx

for needed in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(needed, reason="the extra is not installed: pip install 'codeprune-tui[onnx]'")

RUBY = """
# Adds two numbers.
def add(first, second)
  first + second
end

def shout(text) = text.upcase + "!"
"""
UNEVEN = {"decoder_heads_by_layer": [2, 4], "cross_heads_by_layer": [3, 0], "decoder_neurons_by_layer": [64, 30]}
PRUNED = "decoder.layers.0.linear1.weight"
SOURCES = [[0, *range(4, 4 + length), 2] for length in (3, 9, 1, 17, 5, 8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with uneven layers, one of them without cross-attention, half of one matrix pruned."""
    words, place = tokenizer(), tmp_path_factory.mktemp("model") / "torch"
    model = small_model(vocab_size=len(words), heads_by_layer=[3, 4], neurons_by_layer=[40, 24], **UNEVEN)
    masks = {PRUNED: torch.rand(64, 32, generator=torch.Generator().manual_seed(0)) > 0.5}
    apply_masks(dict(model.named_parameters()), masks)
    save_model(model, words, place)
    save_masks(masks, place / "masks.safetensors")
    return place


@pytest.fixture(scope="module")
def exported(folder: Path) -> Callable[[Precision], Path]:
    folders: dict[str, Path] = {}

    def get(precision: Precision = "fp32") -> Path:
        if precision not in folders:
            folders[precision] = folder.parent / precision
            export_onnx(folder, folders[precision], precision)
        return folders[precision]

    return get


def alike(one: list[list[Hypothesis]], other: list[list[Hypothesis]]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        assert [(each.tokens, each.finished) for each in ours] == [(each.tokens, each.finished) for each in theirs]
        assert [each.score for each in ours] == pytest.approx([each.score for each in theirs], abs=1e-4)


@pytest.mark.parametrize(
    "search",
    [
        Search(beam=1, max_length=9),
        Search(beam=4, max_length=16),
        Search(beam=4, max_length=16, n_best=4),
        Search(beam=10, max_length=20, n_best=3, batch_size=4, length_penalty=0.7),
        Search(beam=3, max_length=1, n_best=3, batch_size=1),
    ],
)
def test_the_search_finds_what_pytorch_finds(folder: Path, exported: Callable[[], Path], search: Search) -> None:
    alike(search_all(load(exported(), 1), SOURCES, search), search_all(load_model(folder), SOURCES, search))


class _Torch:
    """A PyTorch model behind the two calls that an ONNX model answers: what is left is the search alone."""

    def __init__(self, folder: Path) -> None:
        self.model = load_model(folder)
        self.config = self.model.config

    def own_widths(self) -> list[int]:
        return self.model.own_widths()

    @torch.inference_mode()
    def encode(self, sources: Any) -> list[Any]:
        return [
            part.numpy()
            for pair in self.model.decoder.cross(self.model.encode(torch.from_numpy(sources)).states)
            for part in pair
        ]

    @torch.inference_mode()
    def step(self, tokens: Any, positions: Any, seen: Any, source_mask: Any, own: Any, cross: Any, number: int) -> Any:
        from core.families.decoder import DecoderCache

        parts = [torch.from_numpy(part) for part in cross]
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        cache = DecoderCache(pairs, torch.from_numpy(source_mask)[:, None, None], [torch.from_numpy(each) for each in own],
                             torch.from_numpy(seen), torch.from_numpy(positions), branched=True)  # fmt: skip
        x = self.model.decoder.step(self.model.encoder.embeddings(torch.from_numpy(tokens), torch.from_numpy(positions)), cache)
        likely = self.model.token_logits(x).log_softmax(-1)
        best, following = likely.sort(dim=-1, descending=True, stable=True)
        return best[..., :number].numpy(), following[..., :number].numpy(), [each.numpy() for each in cache.own]


@pytest.mark.parametrize("name", ["random", "sketchy", "trained"])
def test_the_numpy_search_is_the_reference_search(name: str) -> None:
    """On the golden cases of CodeXGLUE's `Beam`, ties and sentences without an end among them."""
    place = Path(__file__).parent / "golden" / "beam" / name
    cases = json.loads((place / "cases.json").read_text(encoding="utf-8"))
    model = _Torch(place)
    for case in cases["cases"]:
        search = Search(case["beam"], case["max_length"], n_best=case["beam"], batch_size=5)
        ours: list[list[Hypothesis]] = [[] for _ in case["sources"]]
        for rows, hypotheses in onnx_search.search_batches(model, case["sources"], search):  # type: ignore[arg-type]
            for row, best in zip(rows, hypotheses, strict=True):
                ours[row] = best
        alike(ours, search_all(model.model, case["sources"], search))


def test_ended_places_get_no_children_and_equal_scores_go_to_the_lowest() -> None:
    beams = onnx_search._Beams([], np.ones((1, 1), bool), [], np.ones((1, 2, 1), bool), np.zeros((1, 2), np.int64),
                               np.array([[EOS, 7]]), np.array([[-1.0, -1.0]], np.float32))  # fmt: skip
    likely = np.array([[[-0.1, -0.2, -0.3], [-0.5, -0.5, -0.9]]], np.float32)
    parents = beams.advance(likely, np.array([[[4, 5, 6], [9, 8, 3]]]), 2)
    assert (parents.tolist(), beams.token.tolist()) == ([[1, 1]], [[8, 9]])
    assert PAD not in beams.token


def test_pruned_weights_stay_zero(folder: Path, exported: Callable[..., Path]) -> None:
    import onnx
    from onnx import numpy_helper

    pruned = load_model(folder).state_dict()[PRUNED].numpy() == 0
    assert pruned.mean() > 0.4
    for precision in ("fp32", "fp16", "int8"):
        graph = onnx.load(exported(precision) / "decoder.onnx").graph
        matrices = [numpy_helper.to_array(each) for each in graph.initializer if sorted(each.dims) == [32, 64]]
        assert any(np.array_equal((each if each.shape == pruned.shape else each.T) == 0, pruned) for each in matrices) or (
            precision == "int8"  # small weights are rounded to 0 as well: none that was pruned is anything else
            and any(not (each if each.shape == pruned.shape else each.T)[pruned].any() for each in matrices)
        ), precision


def test_a_folder_is_a_model_like_any_other(folder: Path, exported: Callable[..., Path], tmp_path: Path) -> None:
    written = exported()
    assert is_onnx(written)
    writer, before = load_writer(str(written), device="cpu", threads=1), load_writer(str(folder), device="cpu", threads=1)
    assert isinstance(writer.model, OnnxModel)
    assert (writer.finetuned, writer.model.precision) == (True, "fp32")
    search = Search(beam=3, max_length=8, n_best=2)
    for ours, theirs in zip(
        write_comments(writer, methods(RUBY), search), write_comments(before, methods(RUBY), search), strict=True
    ):
        assert [each.text for each in ours] == [each.text for each in theirs]
    row = {"code_tokens": ["def", "a", "end"], "docstring_tokens": ["Returns", "the", "area"]}
    (tmp_path / "valid.jsonl").write_text(json.dumps(row) + "\n")
    settings = Evaluation(beam=2, max_length=8)
    ours, theirs = (evaluate_model(str(each), str(tmp_path), settings, device="cpu", threads=1) for each in (written, folder))
    assert (ours.predictions, ours.scores) == (theirs.predictions, theirs.scores)
    with pytest.raises(ModelError, match="encoder cannot be taken out"):
        evaluate_model(str(written), str(tmp_path), settings, device="cpu", threads=1, encoder_off=True)
    with pytest.raises(ModelError, match="cannot be trained, pruned or quantized"):
        load_model(written)
    with pytest.raises(ModelError, match="exists"):
        export_onnx(folder, written)


def test_the_playground_keeps_it_and_quantizes_it_no_further(exported: Callable[..., Path]) -> None:
    from core.evaluate.variants import Models

    models = Models("cpu", 1)
    kept = models.load(str(exported()), "fp32", lambda stage: None)
    assert kept.size_bytes == kept.writer.model.size_bytes  # type: ignore[union-attr]
    assert models.known(str(exported()), "fp32") is kept
    with pytest.raises(ModelError, match="cannot be quantized by int8-weight"):
        models.load(str(exported()), "int8-weight", lambda stage: None)


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.05), ("int8", 1.0)])
def test_smaller_numbers_are_near(folder: Path, exported: Callable[..., Path], precision: Precision, most: float) -> None:
    search = Search(beam=1, max_length=4)
    ours, theirs = load(exported(precision), 1), load_model(folder)
    sources = np.array(load_reader(folder).sources(["def add(a, b) a + b end"], 20))
    with torch.no_grad():
        right = [part for pair in theirs.decoder.cross(theirs.encode(torch.from_numpy(sources)).states) for part in pair]
    for each, other in zip(ours.encode(sources), right, strict=True):
        assert np.abs(each - other.numpy()).max(initial=0) < most  # one layer has no heads
    assert all(len(each) == 1 for each in search_all(ours, SOURCES, search))
    assert ours.size_bytes < load(exported(), 1).size_bytes


def test_comment_loads_no_torch(folder: Path, exported: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "a.rb").write_text(RUBY)
    program = (
        "import sys; sys.argv = ['codeprune-tui', *sys.argv[1:]]\nfrom codeprune_tui.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print(sorted({'torch', 'transformers', 'safetensors', 'textual'} & set(sys.modules)), file=sys.stderr)"
    )
    common = ["comment", str(tmp_path / "a.rb"), "--beam", "3", "--max-length", "8", "--threads", "1", "--model"]
    done = [
        subprocess.run(
            [sys.executable, "-P", "-c", program, *common, str(place)], capture_output=True, text=True, timeout=120, check=True
        )
        for place in (exported(), folder)
    ]
    assert done[0].stdout == done[1].stdout
    assert done[0].stderr == "[]\n"
    assert "torch" in done[1].stderr


def test_what_cannot_be_run_says_so(exported: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(exported(), broken)
    (broken / "decoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"decoder\.onnx cannot be loaded"):
        load(broken)
    with pytest.raises(ModelError, match="runs on the CPU and not on cuda"):
        load_writer(str(exported()), device="cuda", threads=1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="onnxruntime is not installed"):
        load(exported())
