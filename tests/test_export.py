"""Models on their way out: CodeXGLUE's code loads them strictly and goes on, and the hub's card says what is known."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_loading import GOLDEN, tokenizer
from test_model import SOURCES, TARGETS, small_model
from torch import Tensor, nn
from torch.nn.utils import prune
from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

from core.compress.masks import apply_masks, load_masks, save_masks
from core.errors import ModelError
from core.export.codexglue import BIAS, HELPER, NOTE, changes, export_codexglue
from core.export.hub import export_hub
from core.families.config import PAD
from core.model import load_masks as masks_of
from core.model import load_model, load_reader, save_model

PROGRAM = [sys.executable, "-P", "-m", "codeprune_tui.cli.main", "export"]
PRUNED = ("encoder.encoder.layer.0.attention.self.query.weight", "decoder.layers.1.multihead_attn.out_proj.weight",
          "decoder.layers.0.linear1.weight")  # fmt: skip


class TheirModel(nn.Module):
    """The modules and buffers that CodeXGLUE's `Seq2Seq` has, and its loss."""

    def __init__(self, folder: Path, ffn: int, layers: int) -> None:
        super().__init__()
        config = RobertaConfig.from_pretrained(folder)
        self.encoder = RobertaModel(config)
        layer = nn.TransformerDecoderLayer(config.hidden_size, config.num_attention_heads, ffn)
        self.decoder = nn.TransformerDecoder(layer, layers)
        self.register_buffer("bias", torch.ones(BIAS, BIAS).tril())
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.lm_head.weight = self.encoder.embeddings.word_embeddings.weight

    def forward(self, sources: Tensor, targets: Tensor) -> Tensor:
        memory = self.encoder(sources, attention_mask=sources.ne(PAD).long())[0].permute(1, 0, 2).contiguous()
        causal = -1e4 * (1 - self.bias[: targets.shape[1], : targets.shape[1]])
        embedded = self.encoder.embeddings(targets).permute(1, 0, 2).contiguous()
        out = self.decoder(embedded, memory, tgt_mask=causal, memory_key_padding_mask=sources.eq(PAD))
        logits = self.lm_head(torch.tanh(self.dense(out)).permute(1, 0, 2))[:, :-1].flatten(0, 1)
        return nn.functional.cross_entropy(logits, targets[:, 1:].flatten(), ignore_index=PAD)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    words = tokenizer()
    save_model(small_model(vocab_size=len(words)), words, tmp_path / "dense")
    return tmp_path / "dense"


@pytest.fixture
def pruned(dense: Path, tmp_path: Path) -> Path:
    """The same with half of three matrices pruned."""
    model, generator = load_model(dense), torch.Generator().manual_seed(0)
    weights = dict(model.named_parameters())
    masks = {name: torch.rand(weights[name].shape, generator=generator) > 0.5 for name in PRUNED}
    apply_masks(weights, masks)
    save_model(model, load_reader(dense), tmp_path / "pruned")
    save_masks(masks, tmp_path / "pruned" / "masks.safetensors")
    return tmp_path / "pruned"


def load_held(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("hold_pruned", folder / HELPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_held


def test_their_model_loads_it_strictly_and_has_the_same_loss(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    changed = export_codexglue(dense, out)
    assert changed == changes(load_model(dense).config, load_reader(dense))
    assert any("dim_feedforward=64" in text for text in changed)
    assert any("num_layers=2" in text for text in changed)
    theirs = TheirModel(out, 64, 2)
    theirs.load_state_dict(torch.load(out / "pytorch_model.bin", weights_only=True), strict=True)
    assert theirs.lm_head.weight is theirs.encoder.embeddings.word_embeddings.weight
    assert RobertaConfig.from_pretrained(out).torchscript is False  # their tie_weights asks for it
    theirs.eval()
    assert theirs(SOURCES, TARGETS).item() == pytest.approx(load_model(dense)(SOURCES, TARGETS).item(), abs=1e-6)
    text = "def add(a, b) a + b end"
    with open(out / NOTE, encoding="utf-8") as note:  # noqa: PTH123
        words = note.read()
    assert "--load_model_path FOLDER/pytorch_model.bin" in words
    assert "`AdamW`: in `run.py` import it from `torch.optim`" in words
    assert RobertaTokenizer.from_pretrained(out)(text)["input_ids"] == load_reader(dense).ids([text], 99)[0]


def test_a_round_trip_keeps_every_bit_and_every_mask(pruned: Path, tmp_path: Path) -> None:
    before, masks = load_model(pruned), masks_of(pruned)
    for held in (False, True):
        exported = tmp_path / f"there-{held}"
        export_codexglue(pruned, exported, masks=held)
        back = load_model(exported)
        assert all(torch.equal(a, b) for a, b in zip(before.state_dict().values(), back.state_dict().values(), strict=True))
        assert back(SOURCES, TARGETS).item() == before(SOURCES, TARGETS).item()
        back_masks = masks_of(exported)
        assert back_masks.keys() == (masks.keys() if held else set())
        assert all(torch.equal(back_masks[name], masks[name]) for name in back_masks)
    # There, trained on, and back: what was pruned still is.
    theirs = TheirModel(exported, 64, 2)
    load_held(exported)(theirs, exported / "pytorch_model.bin")
    assert theirs.eval()(SOURCES, TARGETS).item() == pytest.approx(before(SOURCES, TARGETS).item(), abs=1e-6)
    optimizer = torch.optim.SGD(theirs.train().parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        theirs(SOURCES, TARGETS).backward()
        optimizer.step()
    torch.save(theirs.state_dict(), exported / "pytorch_model.bin")
    again, weights = masks_of(exported), load_model(exported).state_dict()
    assert again.keys() == masks.keys()
    for name, mask in masks.items():
        assert torch.equal(again[name], mask)
        assert torch.equal(weights[name] == 0, ~mask)
        assert not torch.equal(weights[name], before.state_dict()[name])
    assert theirs.eval()(SOURCES, TARGETS).item() == pytest.approx(load_model(exported)(SOURCES, TARGETS).item(), abs=1e-6)


def test_codexglues_own_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Theirs, pruned by torch, through here, and theirs again: the same numbers."""
    words = tokenizer()
    source = tmp_path / "theirs"
    facts = {**json.loads((GOLDEN / "config.json").read_text()), "vocab_size": len(words)}
    torch.manual_seed(0)
    RobertaConfig(**facts).save_pretrained(source)
    replace(words, steps=()).save(source)  # theirs knows of no steps
    first = TheirModel(source, 2048, 6).eval()
    prune.l1_unstructured(first.encoder.encoder.layer[0].output.dense, "weight", 0.3)
    torch.save(first.state_dict(), source / "pytorch_model.bin")
    assert changes(load_model(source).config, load_reader(source)) == [] == export_codexglue(source, tmp_path / "out", masks=True)
    second = TheirModel(tmp_path / "out", 2048, 6)
    load_held(tmp_path / "out")(second, tmp_path / "out" / "pytorch_model.bin")
    assert second.eval()(SOURCES, TARGETS).item() == first(SOURCES, TARGETS).item()
    name = "encoder.encoder.layer.0.output.dense.weight_mask"
    assert torch.equal(second.state_dict()[name], first.state_dict()[name])


def test_what_cannot_go_out_says_why(dense: Path, tmp_path: Path) -> None:
    from core.evaluate.quantized import save_quantized_copy

    save_quantized_copy(str(dense), "int8-weight", tmp_path / "int8")
    with pytest.raises(ModelError, match=r"quantized .int8-weight., which CodeXGLUE's code cannot read"):
        export_codexglue(tmp_path / "int8", tmp_path / "out")
    for way in (lambda: export_codexglue(dense, dense), lambda: export_hub(dense, "dense", dense)):
        with pytest.raises(ModelError, match="exists"):
            way()


def test_the_hubs_folder_is_a_model_with_a_card(pruned: Path, tmp_path: Path) -> None:
    missing = export_hub(pruned, "pruned", tmp_path / "out")
    assert [text.partition(":")[0] for text in missing] == [
        "the licence of what it was made from", "scores", "recipe and data, which only a round of a run has"
    ]  # fmt: skip
    back = load_model(tmp_path / "out")
    assert all(
        torch.equal(a, b) for a, b in zip(load_model(pruned).state_dict().values(), back.state_dict().values(), strict=True)
    )
    assert load_masks(tmp_path / "out" / "masks.safetensors").keys() == set(PRUNED)
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlanguage: [code, en]\nlicense: unknown\n")
    assert "| decoder 2 | 5" in text
    assert "Not measured." in text


def test_the_hubs_folder_is_as_large_as_the_model(dense: Path, tmp_path: Path) -> None:
    save_model(load_model(dense), load_reader(dense), tmp_path / "half", half=True)
    for name, kind in (("dense", torch.float32), ("half", torch.float16)):
        export_hub(tmp_path / name, name, tmp_path / f"{name}-out")
        assert {each.dtype for each in load_file(tmp_path / f"{name}-out" / "model.safetensors").values()} == {kind}
    back, source = load_model(tmp_path / "half-out").state_dict(), load_model(tmp_path / "half").state_dict()
    assert all(torch.equal(back[name], weight) for name, weight in source.items())


def test_the_card_of_a_round_says_where_it_comes_from(pruned: Path, tmp_path: Path) -> None:
    from core.recipe import build_recipe, to_toml

    run = tmp_path / "mine"
    (run / "rounds").mkdir(parents=True)
    pruned.rename(run / "rounds" / "03")
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    (run / "recipe.toml").write_text(to_toml(build_recipe({"model": {"path": str(base)}})))
    (run / "meta.json").write_text(
        json.dumps({"data": {"valid": "abc123"}, "versions": {"torch": "2"}, "device": "cpu", "seed": 4})
    )
    scores = {"bleu": 11.5, "corpus_bleu": 2.0, "chrf": 19.25, "rouge_l": 18.0}
    floor = {"bleu": 13.0, "corpus_bleu": 0.8, "chrf": 16.7}
    metrics = {"split": "valid", "rows": 200, "scores": scores, "intervals": {"chrf": {"low": 18.0, "high": 20.5}},
               "floors": {"name": floor, "constant": floor}, "signatures": {"chrf": "nrefs:1|x"},
               "decoding": {"seconds": 2.0, "rows": 200, "tokens": 1000, "device": "cpu", "threads": 1}}  # fmt: skip
    (run / "rounds" / "03" / "metrics.json").write_text(json.dumps(metrics))
    (run / "rounds" / "00").mkdir()
    less = {"chrf": {"value": 4.0, "low": 3.0, "high": 5.0}}
    off = {"scores": {"bleu": 10.0, "corpus_bleu": 0.5, "chrf": 15.5}, "dense_less": less, "signature": "encoder-off|v:1"}
    (run / "rounds" / "00" / "metrics.json").write_text(json.dumps({"encoder_off": off}))
    assert export_hub(run / "rounds" / "03", "mine", tmp_path / "out") == []
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for words in ("license: apache-2.0", "# mine, round 3", "| this model | 19.25 (18.00 to 20.50) | 11.50 | 2.00 | 18.00 |",
                  "| floor: the method's name | 16.70 | 13.00 | 0.80 |  |", "data, valid: sha256 `abc123`", "Made from `base`",
                  "| floor: encoder off, of the dense model | 15.50 | 10.00 | 0.50 |  |",
                  "Dense model minus encoder off: +4.00 (+3.00 to +5.00) chrF.", "- chrf: `nrefs:1|x`",
                  "- encoder_off: `encoder-off|v:1`", "Speed: 10.0 ms a method",
                  "Licence of the model it was made from: apache-2.0", "[pruning]"):  # fmt: skip
        assert words in text, words
    assert str(tmp_path) not in text
    assert "can say nothing" not in text
    (run / "rounds" / "00" / "metrics.json").write_text("{}")
    older = export_hub(run / "rounds" / "03", "mine", tmp_path / "older")
    assert older == ["the floor encoder off: its run is of an older version, which did not measure it"]
    (run / "rounds" / "03").rename(run / "shrunk")
    (run / "shrunk" / "metrics.json").unlink()
    assert [gap.partition(":")[0] for gap in export_hub(run / "shrunk", "mine/shrunk", tmp_path / "small")] == ["scores"]
    text = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert "# mine, shrunk" in text
    assert "data, valid: sha256 `abc123`" in text


def test_the_card_of_a_model_whose_encoder_carries_nothing_begins_with_that(dense: Path, tmp_path: Path) -> None:
    floors = {"name": {"chrf": 16.7}}
    facts = {"split": "valid", "rows": 200, "scores": {"chrf": 19.25}, "floors": floors, "signatures": {"chrf": "nrefs:1|x"}}
    (dense / "metrics.json").write_text(json.dumps(facts))
    lacks = "the floor encoder off: evaluate MODEL --encoder-off --json > metrics.json beside the weights"
    assert lacks in export_hub(dense, "dense", tmp_path / "bare")
    less = {"chrf": {"value": 0.5, "low": -0.25, "high": 1.25}}
    off = {"scores": {"chrf": 18.75}, "dense_less": less, "signature": "encoder-off|v:1"}
    (dense / "metrics.json").write_text(json.dumps({**facts, "encoder_off": off}))
    assert not any("encoder off" in gap for gap in export_hub(dense, "dense", tmp_path / "out"))
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    first = text.split("# dense\n\n")[1].splitlines()[0]
    assert first == (
        "**A study of this model can say nothing about pruning the encoder: "
        "this model minus encoder off is +0.50 (-0.25 to +1.25) chrF, not clearly above 0.**"
    )
    for words in (
        "| floor: encoder off | 18.75 |",
        "Encoder off is a model without its encoder layers; the other floors are programs that read no code",
        "This model minus encoder off: +0.50 (-0.25",
        "encoder_off: `encoder-off|v:1`",
    ):
        assert words in text, words


def test_the_command(dense: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*PROGRAM, str(dense), *arguments], capture_output=True, text=True, timeout=120)

    done = run("--to", "codexglue", "--masks", "-o", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    assert "Change there: run.py: num_layers=2" in done.stderr
    done = run("--to", "hub", "-o", str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    assert "hf upload OWNER/NAME" in done.stderr
    assert run("--to", "hub", "-o", str(tmp_path / "b")).returncode == 5
    assert run("--to", "hub", "--masks", "-o", str(tmp_path / "c")).returncode == 2
