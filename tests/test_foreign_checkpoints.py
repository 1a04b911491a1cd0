"""Checkpoints as other programs save them: wrapped, in several files, with added tokens, or of another architecture."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_loading import GOLDEN, bpe_files, equal, refused, state, tokenizer
from test_model import small_model
from torch import Tensor
from typer.testing import CliRunner

from core.errors import ModelError
from core.model import is_finetuned, load_masks, load_model, load_reader, save_model

BOUNDARY = "encoder.encoder.layer.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a small CodeXGLUE checkpoint to spoil."""
    shutil.copytree(GOLDEN, tmp_path / "model")
    return tmp_path / "model"


def encoder_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}


# --- tensors that nothing uses


@pytest.mark.parametrize(
    "extra",
    [
        "decoder.encoder.layer.0.attention.self.query.weight",  # UniXcoder's summarizer
        "decoder.block.0.layer.0.SelfAttention.q.weight",  # CodeT5
        "decoder.embeddings.word_embeddings.weight",
        "lm_head.weight",
        "dense.weight",
        "adapters.0.down.weight",
    ],
)
def test_a_decoder_of_another_architecture_is_not_lost_in_silence(folder: Path, extra: str) -> None:
    torch.save(encoder_of(state(folder)) | {extra: torch.ones(32, 32)}, folder / "pytorch_model.bin")
    refused(
        folder, "pytorch_model.bin holds an encoder, and 1 tensor that nothing here uses", extra, "save the encoder by itself"
    )
    with pytest.raises(ModelError, match="1 tensor that nothing here uses"):  # and it does not pass for a bare encoder
        is_finetuned(folder)


def test_a_fine_tuned_checkpoint_with_something_more_lists_it(folder: Path) -> None:
    torch.save(state(folder) | {"copy_head.weight": torch.ones(2, 2)}, folder / "pytorch_model.bin")
    refused(folder, "holds 1 tensor that this architecture does not have: copy_head.weight")


@pytest.mark.parametrize(
    "name",
    [
        "lm_head.bias", "lm_head.dense.weight", "lm_head.layer_norm.bias", "lm_head.decoder.weight", "classifier.dense.weight",
        "classifier.out_proj.bias", "classifier.weight", "qa_outputs.weight", "bias", "roberta.embeddings.position_ids",
    ],
)  # fmt: skip
def test_heads_of_other_tasks_are_known_to_be_unneeded(folder: Path, name: str) -> None:
    encoder = {f"roberta.{key.removeprefix('encoder.')}": value for key, value in encoder_of(state(folder)).items()}
    torch.save(encoder | {name: torch.ones(3, 3)}, folder / "pytorch_model.bin")
    model = load_model(folder)
    assert torch.equal(model.encoder.pooler.dense.weight, encoder["roberta.pooler.dense.weight"])
    assert not is_finetuned(folder)


def test_a_fine_tuned_unixcoder_is_refused_whole(folder: Path) -> None:
    """Its encoder serves as the decoder, too: every tensor of it stands under both names."""
    encoder = encoder_of(state(folder))
    twice = encoder | {f"decoder.{name.removeprefix('encoder.')}": tensor for name, tensor in encoder.items()}
    head = {"dense.weight": torch.ones(32, 32), "dense.bias": torch.ones(32), "bias": torch.ones(1, 8, 8, dtype=torch.uint8)}
    for wrap in ("", "module."):
        torch.save({f"{wrap}{name}": tensor for name, tensor in (twice | head).items()}, folder / "pytorch_model.bin")
        refused(folder, f"and {len(encoder) + 2} tensors that nothing here uses: decoder.embeddings")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "config.json"])
def test_a_git_lfs_pointer_in_place_of_a_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    refused(folder, f"{name} is a git-lfs pointer, not the file itself", f"git lfs pull --include {name}")


# --- wrappers


@pytest.mark.parametrize(
    "wrap",
    [
        "module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model.module.", "module.model.",
        "_orig_mod.model.module.", "model.model.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [True, False])
def test_what_wrappers_put_before_names_goes(folder: Path, wrap: str, whole: bool) -> None:
    tensors = state(folder) if whole else encoder_of(state(folder))
    expected = load_model(GOLDEN)
    torch.save({f"{wrap}{name}": tensor for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    assert is_finetuned(folder) == whole
    model = load_model(folder)
    assert equal(model, expected) if whole else equal(model.encoder, expected.encoder)  # type: ignore[arg-type]


def test_a_part_that_was_compiled_by_itself(folder: Path) -> None:
    tensors = {name.replace("encoder.encoder.", "encoder._orig_mod.encoder."): value for name, value in state(folder).items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    assert equal(load_model(folder), load_model(GOLDEN))


def test_a_tensor_with_and_without_its_prefix_is_refused(folder: Path) -> None:
    torch.save(state(folder) | {"module.dense.bias": torch.ones(32)}, folder / "pytorch_model.bin")
    refused(folder, "holds dense.bias more than once, with and without a prefix")


# --- several files


def split_up(folder: Path, kind: str) -> Path:
    """The same model in two files with an index, as transformers splits large ones; gives the index."""
    tensors = {name: tensor for name, tensor in state(folder).items() if name != "lm_head.weight"}
    (folder / "pytorch_model.bin").unlink()
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    places = {name: f"{stem}-0000{1 + (name >= BOUNDARY)}-of-00002.{suffix}" for name in tensors}
    for file in set(places.values()):
        part = {name: tensors[name].clone() for name in tensors if places[name] == file}
        save_file(part, folder / file) if kind == "safetensors" else torch.save(part, folder / file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_model_in_several_files(folder: Path, kind: str) -> None:
    index = split_up(folder, kind)
    assert equal(load_model(folder), load_model(GOLDEN))
    assert equal(load_model(index), load_model(GOLDEN))
    assert is_finetuned(folder)
    assert load_masks(folder) == {}


def test_the_digest_of_a_model_in_several_files_depends_on_all_of_them(folder: Path) -> None:
    from core.evaluate.ladder import digest

    index = split_up(folder, "bin")
    before = digest(index)
    assert before == digest(index)
    last = folder / "pytorch_model-00002-of-00002.bin"
    last.write_bytes(last.read_bytes() + b"\0")
    assert digest(index) != before


def test_a_form_counts_a_model_in_several_files(folder: Path) -> None:
    from core.spec import sizes

    split_up(folder, "safetensors")
    counted = {name: weight.numel() for name, weight in load_model(GOLDEN).named_parameters()}
    assert sizes.of_folder(folder, 6) == counted


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_an_index_that_leads_astray(folder: Path, kind: str) -> None:
    index = split_up(folder, kind)
    whole = index.read_text()
    facts = json.loads(whole)
    first, second = sorted(set(facts["weight_map"].values()))
    name = next(name for name, file in facts["weight_map"].items() if file == first)
    for place in (f"../{first}", str(folder / first), "/etc/passwd", "config.json", 7, None, ""):
        index.write_text(json.dumps({"weight_map": facts["weight_map"] | {name: place}}))
        refused(folder, str(index), "files beside it can be meant")
    index.write_text(json.dumps({"weight_map": facts["weight_map"] | {name: second}}))
    refused(folder, second, "lacks")
    index.write_text(whole)
    (folder / second).rename(folder / "away")
    refused(folder, f"names '{second}', which is not in {folder}", "Copy all files")


def test_a_model_in_several_files_on_the_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    split_up(folder, "bin")
    fetched = []

    def download(name: str, file: str) -> str:
        if not (folder / file).exists():
            raise EntryNotFoundError(file)
        fetched.append(file)
        return str(folder / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.chdir(tmp_path)
    assert equal(load_model("someone/large"), load_model(GOLDEN))
    assert fetched[-2:] == ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]


# --- added tokens


def test_added_tokens_are_added_under_their_ids(tmp_path: Path) -> None:
    bpe_files(tmp_path, 60)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<py>": 59, "<rb>": 58, "<s>": 0}))
    words = load_reader(tmp_path)
    assert words.ids(["a<rb>b"], 9) == [[0, 4, 58, 5, 2]]
    assert len(words) == 60


def test_added_tokens_beside_a_tokenizer_that_has_them(tmp_path: Path) -> None:
    save_model(small_model(vocab_size=300), tokenizer(), tmp_path / "m")
    size = len(load_reader(tmp_path / "m"))
    (tmp_path / "m" / "added_tokens.json").write_text(json.dumps({"<mask>": size - 1}))
    assert len(load_reader(tmp_path / "m")) == size


@pytest.mark.parametrize("tokens", [{"<rb>": 70}, {"<s>": 5}, {"<rb>": "58"}, ["<rb>"], {"<rb>": -1}])
def test_added_tokens_that_do_not_fit(tmp_path: Path, tokens: object) -> None:
    bpe_files(tmp_path, 60)
    (tmp_path / "added_tokens.json").write_text(json.dumps(tokens))
    with pytest.raises(ModelError, match=r"added_tokens\.json"):
        load_reader(tmp_path)


# --- a decoder that has learned nothing


@pytest.fixture
def untrained(tmp_path: Path) -> dict[str, Path]:
    words = tokenizer()
    model = small_model(vocab_size=len(words))
    save_model(model, words, tmp_path / "tuned")
    save_model(model, words, tmp_path / "encoder", decoder=False)
    model.config.pretrained_only = True
    save_model(model, words, tmp_path / "pretrained")
    return {name: tmp_path / name for name in ("tuned", "encoder", "pretrained")}


@pytest.mark.parametrize(("name", "warned"), [("tuned", False), ("encoder", True), ("pretrained", True)])
def test_comment_and_evaluate_say_so(untrained: dict[str, Path], tmp_path: Path, name: str, warned: bool) -> None:
    from codeprune_tui.cli import models, quantize  # noqa: F401 - they add their commands to `app`
    from codeprune_tui.cli.runs import app

    (tmp_path / "a.rb").write_text("def area(width, height)\n  width * height\nend\n")
    row = {"code_tokens": ["def", "a", "end"], "docstring_tokens": ["Returns", "the", "area"]}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "valid.jsonl").write_text(json.dumps(row) + "\n")
    common = ["--beam", "1", "--max-length", "4", "--device", "cpu", "--threads", "1", "--json"]
    model = str(untrained[name])
    for arguments in (
        ["comment", str(tmp_path / "a.rb"), "--model", model],
        ["evaluate", model, "--data", str(tmp_path / "data")],
    ):
        result = CliRunner().invoke(app, [*arguments, *common], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        assert ("never learned to write comments" in result.stderr) == warned
        assert json.loads(result.stdout)["finetuned"] == (not warned)


@pytest.mark.parametrize("finetuned", [True, False])
def test_the_playground_says_so(untrained: dict[str, Path], finetuned: bool) -> None:
    from codeprune_tui.widgets import opinion
    from core.evaluate.comment import load_writer
    from core.run.exchange import Commented, Line

    assert load_writer(str(untrained["tuned" if finetuned else "encoder"]), device="cpu", threads=1).finetuned == finetuned
    render: Callable[..., object] = opinion._content
    commented = Commented(
        id=1,
        model="m",
        lines=[Line("Text.", -1.0, 2, True)],
        seconds=1.0,
        tokens_per_second=2.0,
        bleu=None,
        name_bleu=None,
        finetuned=finetuned,
    )
    assert (opinion.UNTRAINED in str(render(commented, None, 0.0, 1))) == (not finetuned)
