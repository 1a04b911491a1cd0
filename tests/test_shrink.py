"""A shrunk model computes what the masked one does, and loads, trains and is quantized like any other."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from test_model import SOURCES, TARGETS, small_model

from codeprune_tui.cli import main
from core.compress.masks import Masks, apply_masks, prunable, save_masks
from core.compress.masks import load_masks as read_masks
from core.compress.quantize import UnavailableError, quantize
from core.compress.shrink import plan, row_slice, shrink, shrink_weights
from core.decode import search_all
from core.errors import ModelError
from core.families.reader import Reader
from core.families.roberta import CodeToText
from core.families.tokenizer import train_tokenizer
from core.families.units import Block, blocks
from core.model import load_masks, load_model, load_reader, save_model
from core.recipe import Search
from core.spec.quantizers import METHODS
from core.spec.sizes import of_folder

FILES = ("model.safetensors", "masks.safetensors")
NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "decoder_dropout": 0.0}
TOLERANCE = 1e-5
SOURCE_LISTS = [SOURCES[0][:9].tolist(), SOURCES[2].tolist()]


def without(model: CodeToText, gone: Mapping[str, list[int]], *, rows_too: bool = True, columns_too: bool = True) -> Masks:
    """Masks that remove units, by name of their block."""
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model, "all").items()}
    for block in blocks(model.config.sizes):
        for unit in gone.get(block.name, ()):
            lines = slice(unit * block.width, (unit + 1) * block.width)
            if columns_too or block.columns not in masks:
                masks[block.columns][:, lines] = False
            for rows in block.rows if rows_too else ():
                if rows.tensor in masks:
                    masks[rows.tensor][lines] = False
    return masks


def masked(model: CodeToText, masks: Masks) -> CodeToText:
    apply_masks(dict(model.named_parameters()), masks)
    return model


@torch.no_grad()
def assert_same(small: CodeToText, whole: CodeToText) -> None:
    real = SOURCES != 1
    assert (small.encode(SOURCES).states - whole.encode(SOURCES).states)[real].abs().max() < TOLERANCE
    ours, theirs = (model.target_logits(SOURCES, TARGETS)[0] for model in (small, whole))
    assert (ours - theirs).abs().max() < TOLERANCE
    ours, theirs = (model.train()(SOURCES, TARGETS) for model in (small, whole))  # attention is computed in another way then
    assert abs(float(ours) - float(theirs)) < TOLERANCE
    small.eval()
    whole.eval()


def every(model: CodeToText, word: str) -> dict[str, list[int]]:
    return {block.name: list(range(block.count)) for block in blocks(model.config.sizes) if word in block.name}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.8, 1.0]), st.sampled_from([0.0, 0.5]), st.booleans())
def test_outputs_equal_the_masked_models(seed: int, share: float, scattered: float, columns: bool) -> None:
    """Random units, random weights besides, by their columns or by their rows alone."""
    model, generator = small_model(seed % 5, **NONE), torch.Generator().manual_seed(seed)
    gone = {
        block.name: (torch.rand(block.count, generator=generator) < share).nonzero().flatten().tolist()
        for block in blocks(model.config.sizes)
        if columns or block.part == "encoder" or block.kind == "neuron"
    }
    masks = without(model, gone, columns_too=columns)
    for mask in masks.values():
        mask &= torch.rand(mask.shape, generator=generator) >= scattered * torch.rand(1, generator=generator)
    smaller, left = shrink(model, masks)
    for block in blocks(smaller.config.sizes):
        assert block.count <= plan(model.config, masks).kept[block.name][1] - len(gone.get(block.name, ()))
    assert_same(smaller, masked(model, masks))
    weights = dict(smaller.named_parameters())
    assert all(weights[name].shape == mask.shape and not bool(weights[name][~mask].any()) for name, mask in left.items())


@pytest.mark.parametrize(
    "word",
    [
        "encoder 1 heads", "encoder 0 neurons", "decoder 0 heads", "decoder 1 cross heads", "decoder 1 neurons", "encoder 1",
        "decoder 0", "encoder", "decoder", "",
    ],
)  # fmt: skip
def test_a_block_a_layer_or_everything_may_go(tmp_path: Path, word: str) -> None:
    """Down to layers of norms and biases alone; the model is saved, loaded, decodes and is shrunk again."""
    model = small_model(**NONE)
    masks = without(model, gone := every(model, word))
    smaller, left = shrink(model, masks)
    assert not left
    whole = masked(model, masks)
    assert_same(smaller, whole)
    save_model(smaller, None, tmp_path / "small")
    again = load_model(tmp_path / "small")
    assert again.config == smaller.config
    assert all(block.count == 0 for block in blocks(again.config.sizes) if block.name in gone)
    for search in (Search(beam=1, max_length=6), Search(beam=4, max_length=24, n_best=4, batch_size=2)):
        results, expected = (search_all(each, SOURCE_LISTS, search) for each in (again, whole))
        for ours, theirs in zip(results, expected, strict=True):
            assert [one.tokens for one in ours] == [one.tokens for one in theirs]
    third, _ = shrink(again, without(again, {"encoder 0 heads": [0], "decoder 1 neurons": [3]} if word == "encoder 1" else {}))
    assert third.config.neurons_by_layer == again.config.neurons_by_layer
    if word == "encoder 1":
        assert (third.config.heads_by_layer, third.config.decoder_neurons_by_layer) == ([3, 0], [64, 63])
        assert_same(third, masked(again, without(again, {"encoder 0 heads": [0], "decoder 1 neurons": [3]})))


def test_nothing_goes_where_only_weights_are_pruned() -> None:
    model = small_model()
    masks = {name: torch.rand_like(weight) < 0.4 for name, weight in prunable(model, "all").items()}
    smaller, left = shrink(model, masks)
    assert not plan(model.config, masks).removes
    assert smaller.config == model.config
    assert left.keys() == masks.keys()


def test_moments_and_rewind_point_go_the_same_way() -> None:
    """A training step of the shrunk model with cut moments is that of the masked one with whole moments."""
    model = small_model(**NONE)
    gone = {"encoder 0 heads": [1, 3], "encoder 1 neurons": list(range(48)), "decoder 0 cross heads": [0]}
    masks = without(model, gone | {"decoder 1 neurons": [5]})
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    masked(model, masks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    train(model, optimizer, masks)
    small = plan(model.config, masks)
    smaller, _ = shrink(model, masks)
    theirs, ours = dict(model.named_parameters()), dict(smaller.named_parameters())
    moments = torch.optim.AdamW(smaller.parameters(), lr=1e-3, weight_decay=0.0)
    for key in ("step", "exp_avg", "exp_avg_sq"):
        whole = {name: optimizer.state[weight][key] for name, weight in theirs.items() if weight in optimizer.state}
        for name, value in small.cut(whole).items():
            moments.state[ours[name]][key] = value.clone()
    train(model, optimizer, masks)
    train(smaller, moments, {})
    expected = small.cut({name: weight.detach() for name, weight in theirs.items()})
    for name, weight in ours.items():
        assert torch.allclose(weight, expected[name], atol=1e-6), name
    rewound = shrink_weights(start, masks, small)
    assert {name: tensor.shape for name, tensor in rewound.items()} == {name: weight.shape for name, weight in ours.items()}


def train(model: CodeToText, optimizer: torch.optim.Optimizer, masks: Masks) -> None:
    for _ in range(2):
        model.train()(SOURCES, TARGETS).backward()
        optimizer.step()
        optimizer.zero_grad()
        apply_masks(dict(model.named_parameters()), masks)
    model.eval()


@pytest.mark.parametrize("method", [name for name, known in METHODS.items() if known.saves and name != "fp32"])
def test_a_shrunk_model_is_quantized_and_loaded(tmp_path: Path, method: str) -> None:
    model, reader = small_model(), Reader(train_tokenizer(["def size", "Returns the size ."], vocab_size=270))
    smaller, _ = shrink(model, without(model, every(model, "encoder 1") | every(model, "decoder 0") | {"encoder 0 heads": [2]}))
    try:
        quantized = quantize(smaller, method)
    except UnavailableError as error:
        pytest.skip(str(error))
    save_model(quantized, reader, tmp_path / "q")
    again = load_model(tmp_path / "q")
    assert again.config.heads_by_layer == [3, 0]
    with torch.no_grad():
        assert torch.equal(again.target_logits(SOURCES, TARGETS)[0], quantized.target_logits(SOURCES, TARGETS)[0])


def test_rows_of_a_packed_matrix() -> None:
    block = next(block for block in blocks(small_model().config.sizes) if block.name == "decoder 0 cross heads")
    assert isinstance(block, Block)
    assert row_slice(block, block.value, 2, 96) == slice(64, 96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with a reader, one head of four masked in each encoder layer, and single weights besides."""
    reader = Reader(train_tokenizer(["def size; @items.length; end", "Returns the size of it ."], vocab_size=280))
    model = small_model(vocab_size=len(reader), **NONE)
    masks = without(model, {"encoder 0 heads": [0], "encoder 1 heads": [3]})
    masks["encoder.encoder.layer.0.output.dense.weight"][:5, :7] = False
    save_model(masked(model, masks), reader, tmp_path / "whole", half=True)
    save_masks(masks, tmp_path / "whole" / "masks.safetensors")
    return tmp_path / "whole"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["codeprune-tui", *arguments])
    with pytest.raises(SystemExit) as left:
        main.main()
    return left.value.code if isinstance(left.value.code, int) else 0


def test_the_command_writes_a_folder_that_can_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = folder.parent / "small"
    assert call(monkeypatch, "shrink", str(folder), "-o", str(small)) == 0
    model = load_model(small)
    assert model.config.heads_by_layer == [3, 3]
    assert int((~load_masks(small)["encoder.encoder.layer.0.output.dense.weight"]).sum()) == 35
    assert_same(model, load_model(folder))
    assert (small / "model.safetensors").stat().st_size < (folder / "model.safetensors").stat().st_size
    assert call(monkeypatch, "shrink", str(folder), "-o", str(small)) == 5
    assert f"{small} exists" in capsys.readouterr().err
    assert call(monkeypatch, "shrink", str(small), "-o", str(folder.parent / "smaller")) == 5
    assert f"No head and no neuron of {small} is masked whole" in capsys.readouterr().err


def test_the_command_says_what_stays(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "shrink", str(folder), "-o", str(folder.parent / "one"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kept"]["encoder 1 heads"] == [3, 4]
    assert facts["parameters"][0] - facts["parameters"][1] == 2 * (4 * 8 * 32 + 3 * 8)
    assert facts["size_bytes"][1] == sum((folder.parent / "one" / name).stat().st_size for name in FILES)
    assert call(monkeypatch, "shrink", str(folder), "-o", str(folder.parent / "two")) == 0
    assert "22 of 24 heads and 224 of 224 neurons stay" in capsys.readouterr().err


def test_a_quantized_model_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "quantize", str(folder), "--method", "fp16", "--save", str(folder.parent / "q")) == 0
    assert call(monkeypatch, "shrink", str(folder.parent / "q"), "-o", str(folder.parent / "small")) == 5
    assert "is quantized (fp16); its matrices cannot be cut" in capsys.readouterr().err


def half_pruned(folder: Path) -> Path:
    """A model of which single weights are pruned, in a folder beside."""
    reader = Reader(train_tokenizer(["def size; @items.length; end", "Returns the size of it ."], vocab_size=280))
    model, generator = small_model(vocab_size=len(reader), **NONE), torch.Generator().manual_seed(1)
    masks = {name: torch.rand(weight.shape, generator=generator) >= 0.5 for name, weight in prunable(model, "all").items()}
    save_model(masked(model, masks), reader, folder.parent / "sparse")
    save_masks(masks, folder.parent / "sparse" / "masks.safetensors")
    return folder.parent / "sparse"


def test_a_packed_model_is_small_and_exactly_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sparse, packed = half_pruned(folder), folder.parent / "packed"
    assert call(monkeypatch, "shrink", str(sparse), "-o", str(packed)) == 5
    assert "or add --pack" in capsys.readouterr().err
    assert call(monkeypatch, "shrink", str(sparse), "-o", str(packed), "--pack") == 0
    one, other = load_model(packed), load_model(sparse)
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())
    assert load_masks(packed).keys() == load_masks(sparse).keys()
    whole = sum(weight.numel() for weight in prunable(other, "all").values())
    kept = sum(int(mask.sum()) for mask in load_masks(packed).values())
    before, after = ((place / "model.safetensors").stat().st_size for place in (sparse, packed))
    assert before - after == pytest.approx(4 * (whole - kept), abs=4000)  # but for the headers
    assert of_folder(packed, 0) == of_folder(sparse, 0)
    assert call(monkeypatch, "shrink", str(packed), "-o", str(folder.parent / "again"), "--pack") == 0
    assert (folder.parent / "again" / "model.safetensors").read_bytes() == (packed / "model.safetensors").read_bytes()
    save_model(small_model(vocab_size=other.config.vocab_size), load_reader(sparse), folder.parent / "dense")
    assert call(monkeypatch, "shrink", str(folder.parent / "dense"), "-o", str(folder.parent / "no"), "--pack") == 5
    assert "dense is pruned, so there is nothing to pack" in capsys.readouterr().err


@pytest.mark.parametrize(("values", "most", "share"), [("fp16", 5e-4, 0.5), ("int8", 1e-2, 0.25)])
def test_packed_values_may_be_rounded_which_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: str, most: float, share: float
) -> None:
    sparse, packed = half_pruned(folder), folder.parent / values
    assert call(monkeypatch, "shrink", str(sparse), "-o", str(packed), "--pack", "--values", values) == 0
    said = capsys.readouterr().err
    one, exact, masks = load_model(packed), load_model(sparse), load_masks(sparse)
    squares = changes = 0.0
    for name, weight in exact.named_parameters():
        stored, weight = one.get_parameter(name).detach(), weight.detach()
        if name in masks:
            assert not stored[~masks[name]].any()
            row = weight.abs().amax(1, keepdim=True) / 127
            assert values == "fp16" or bool(((stored - weight).abs() <= 0.501 * row).all())
        else:
            assert torch.equal(stored, weight.half().float())
        squares, changes = squares + float(weight.square().sum()), changes + float((stored - weight).square().sum())
    off = (changes / squares) ** 0.5
    assert 0 < off < most
    assert f"Rounding to {values} changed the weights by {100 * off:.2g}"[:-1] in said
    files = load_file(packed / "model.safetensors")
    kept = {name: tensor.nbytes for name, tensor in files.items() if name.endswith(".kept")}
    assert sum(kept.values()) == 4 * share * sum(int(mask.sum()) for mask in masks.values())
    again = folder.parent / "again"
    assert call(monkeypatch, "shrink", str(packed), "-o", str(again), "--pack", "--values", values) == 0
    assert all(torch.allclose(tensor, load_model(again).state_dict()[name]) for name, tensor in one.state_dict().items())
    assert call(monkeypatch, "shrink", str(sparse), "-o", str(folder.parent / "none"), "--values", values) == 2


def test_eight_bits_without_their_scales_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = folder.parent / "packed"
    assert call(monkeypatch, "shrink", str(half_pruned(folder)), "-o", str(packed), "--pack", "--values", "int8") == 0
    tensors = load_file(packed / "model.safetensors")
    shapes = {name: list(mask.shape) for name, mask in read_masks(packed / "masks.safetensors").items()}
    name = next(name for name in tensors if name.endswith(".kept_scale"))
    for spoiled in ({**tensors, name: tensors[name][:-1].clone()}, {key: value for key, value in tensors.items() if key != name}):
        save_file(spoiled, packed / "model.safetensors", metadata={"packed": json.dumps(shapes)})
        with pytest.raises(ModelError, match="one scale for each row"):
            load_model(packed)


@pytest.mark.parametrize("spoil", ["no masks", "other masks", "a shape", "too many", "no table"])
def test_a_packed_model_that_was_spoiled_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    packed = folder.parent / "packed"
    assert call(monkeypatch, "shrink", str(half_pruned(folder)), "-o", str(packed), "--pack") == 0
    masks, name = read_masks(packed / "masks.safetensors"), "encoder.encoder.layer.0.output.dense.weight"
    if spoil == "no masks":
        (packed / "masks.safetensors").unlink()
    elif spoil == "other masks":
        save_masks({**masks, name: ~masks[name]}, packed / "masks.safetensors")
    else:
        tensors, shapes = load_file(packed / "model.safetensors"), {each: list(mask.shape) for each, mask in masks.items()}
        shapes |= {"a shape": {name: [10**9, 10**9]}, "too many": {name: [1, 2]}, "no table": {name: "x"}}[spoil]  # type: ignore[dict-item]
        save_file(tensors, packed / "model.safetensors", metadata={"packed": json.dumps(shapes)})
    with pytest.raises(ModelError):
        load_model(packed)
