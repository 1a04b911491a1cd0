"""Models from every kind of file, and every way in which a file can be wrong."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_model import SIZES, SOURCES, TARGETS, small_model
from tokenizers import Tokenizer
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaModel

from core.errors import ModelError
from core.families.config import CodeToTextConfig
from core.families.reader import SPLIT_IDENTIFIERS, Reader
from core.families.roberta import CodeToText
from core.families.tokenizer import train_tokenizer
from core.model import is_finetuned, load_masks, load_model, load_reader, save_model

GOLDEN = Path(__file__).parent / "golden" / "beam" / "trained"
ENCODER = {name: value for name, value in SIZES.items() if not name.startswith("decoder")}
EMBEDDINGS = "encoder.embeddings.word_embeddings.weight"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of a small CodeXGLUE checkpoint to spoil."""
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder)
    return folder


def state(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(folder / "pytorch_model.bin", weights_only=True)
    return loaded


def equal(one: CodeToText, other: CodeToText) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def refused(folder: Path | str, *texts: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    for text in texts:
        assert text in str(caught.value)
    assert caught.value.fix


# --- what can be loaded


def test_codexglue_folder_and_lone_file() -> None:
    model = load_model(GOLDEN)
    saved = state(GOLDEN)
    assert len(model.decoder.layers) == 2
    assert model.config.decoder_ffn == 2048
    assert not model.training
    assert model.state_dict().keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    assert model.lm_head.weight is model.encoder.embeddings.word_embeddings.weight
    assert equal(model, load_model(GOLDEN / "pytorch_model.bin"))
    assert is_finetuned(GOLDEN)
    assert load_masks(GOLDEN) == {}


def test_loaded_model_is_as_one_built_in_the_usual_way() -> None:
    """Built without start values, it must lack nothing: requires_grad, a training step."""
    loaded = load_model(GOLDEN)
    usual = CodeToText(loaded.config)
    usual.load_state_dict(loaded.state_dict())
    assert not [*loaded.named_buffers()]
    assert all(p.requires_grad and not p.is_meta for p in loaded.parameters())
    loss = loaded(SOURCES, TARGETS)
    assert loss == usual.eval()(SOURCES, TARGETS)
    loss.backward()
    before = loaded.lm_head.weight.clone()
    torch.optim.SGD(loaded.parameters(), 1.0).step()
    assert not torch.equal(before, loaded.lm_head.weight)
    assert torch.equal(load_model(GOLDEN).lm_head.weight, before)  # the file is not written through


@pytest.mark.parametrize("own", [True, False])
def test_a_loaded_model_does_not_hang_on_its_file(golden: Path, tmp_path: Path, own: bool) -> None:
    """Over a network a mapped file that changes would change or kill the run."""
    if own:
        save_model(load_model(golden), None, tmp_path / "own")
    file = tmp_path / "own" / "model.safetensors" if own else golden / "pytorch_model.bin"
    model = load_model(file)
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.write(bytes(size))
    assert equal(model, load_model(GOLDEN))


def test_data_parallel_names_and_the_causal_buffer(golden: Path) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in state(golden).items()} | {"module.bias": torch.ones(8, 8).tril()}
    torch.save(wrapped, golden / "pytorch_model.bin")
    assert equal(load_model(golden), load_model(GOLDEN))
    assert is_finetuned(golden)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_pruned_checkpoint(golden: Path, prefix: str) -> None:
    saved = state(golden)
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    dense = saved.pop(name)
    mask = (torch.arange(dense.numel()) % 3 > 0).view_as(dense)
    saved |= {f"{name}_orig": dense, f"{name}_mask": mask.float()}
    torch.save({prefix + key: value for key, value in saved.items()}, golden / "pytorch_model.bin")
    model = load_model(golden)
    assert torch.equal(model.state_dict()[name], dense * mask)
    masks = load_masks(golden)
    assert list(masks) == [name]
    assert masks[name].dtype == torch.bool
    assert torch.equal(masks[name], mask)
    del saved[f"{name}_mask"]
    torch.save(saved, golden / "pytorch_model.bin")
    refused(golden, f"holds {name}_orig without its counterpart", f"needs both {name}_orig and {name}_mask")


@pytest.mark.parametrize("prefix", ["", "roberta."])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_bare_encoder_gets_a_seeded_decoder(tmp_path: Path, prefix: str, file: str) -> None:
    torch.manual_seed(1)
    config = RobertaConfig(**ENCODER)
    encoder = RobertaForMaskedLM(config) if prefix else RobertaModel(config)
    tensors = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert any(name.startswith("lm_head") for name in tensors) == bool(prefix)
    tensors[f"{prefix}embeddings.position_ids"] = torch.arange(40)[None]  # older files hold this buffer
    if file.endswith(".bin"):
        torch.save(tensors, tmp_path / file)
    else:
        save_file(tensors, tmp_path / file)
    config.to_json_file(tmp_path / "config.json")
    before = torch.random.get_rng_state()
    model = load_model(tmp_path, decoder_layers=3, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(model.decoder.layers) == model.config.decoder_layers == 3
    assert model.config.decoder_ffn == 2048
    for name, tensor in model.encoder.state_dict().items():
        if f"{prefix}{name}" in tensors:
            assert torch.equal(tensor, tensors[f"{prefix}{name}"]), name
        else:
            assert name.startswith("pooler"), name
    assert equal(model, load_model(tmp_path, decoder_layers=3, seed=5))
    assert not equal(model, load_model(tmp_path, decoder_layers=3, seed=6))
    assert not is_finetuned(tmp_path)
    assert torch.isfinite(model(SOURCES, TARGETS))


# --- our own folder


def tokenizer() -> Reader:
    texts = ["def area(width, height) width * height end", "Returns the area."] * 3
    return Reader(train_tokenizer(texts, vocab_size=300), (SPLIT_IDENTIFIERS,))


def test_own_folder_round_trip(tmp_path: Path) -> None:
    words = tokenizer()
    model = small_model(vocab_size=len(words), decoder_heads=2, decoder_dropout=0.25)
    folder = tmp_path / "new" / "model"
    save_model(model, words, folder)
    again = load_model(str(folder))
    assert equal(model, again)
    for name in ("decoder_heads", "decoder_dropout", "decoder_layers", "decoder_ffn", "vocab_size"):
        assert getattr(again.config, name) == getattr(model.config, name), name
    assert again(SOURCES, TARGETS) == model(SOURCES, TARGETS)
    read = load_reader(folder)
    text = "def area(w)  é <mask>"
    assert read.sources([text], 64) == words.sources([text], 64)
    assert read.steps == words.steps == (SPLIT_IDENTIFIERS,)
    assert len(read) == len(words)
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118  (no mapping)
        assert EMBEDDINGS in file.keys()  # noqa: SIM118
    assert is_finetuned(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_encoder_of_an_own_folder_can_be_read_by_transformers(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, None, tmp_path / "m")
    theirs = RobertaModel(RobertaConfig.from_json_file(tmp_path / "m" / "config.json")).eval()
    saved = load_file(tmp_path / "m" / "model.safetensors")
    theirs.load_state_dict({name.removeprefix("encoder."): each for name, each in saved.items() if name.startswith("encoder.")})
    states = theirs(input_ids=SOURCES, attention_mask=(SOURCES != 1).long()).last_hidden_state
    assert (model.encode(SOURCES).states - states)[SOURCES != 1].abs().max() < 1e-6


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_model(small_model(), None, tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_half_is_half_the_size_and_loads_in_float32(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, None, tmp_path / "full")
    save_model(model, None, tmp_path / "half", half=True)
    full, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.6 * full
    again = load_model(tmp_path / "half")
    assert all(p.dtype == torch.float32 for p in again.parameters())
    assert torch.allclose(again.dense.weight, model.dense.weight, atol=1e-3)
    assert model.dense.weight.dtype == torch.float32


def test_saved_without_decoder_it_counts_as_an_encoder(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, None, tmp_path / "m", decoder=False)
    assert all(name.startswith("encoder.") for name in load_file(tmp_path / "m" / "model.safetensors"))
    assert not is_finetuned(tmp_path / "m")
    again = load_model(tmp_path / "m", decoder_layers=4)
    assert len(again.decoder.layers) == 4
    assert torch.equal(again.encoder.pooler.dense.weight, model.encoder.pooler.dense.weight)


def test_saving_replaces_models_only_and_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "m"
    save_model(small_model(0), tokenizer(), folder)
    save_model(small_model(1), None, folder)
    assert equal(load_model(folder), small_model(1))
    assert not (folder / "tokenizer.json").exists()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("core.model.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(small_model(2), None, folder)
    assert equal(load_model(folder), small_model(1))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"exists and is no model folder alone: it holds notes\.txt\. Choose another name"):
        save_model(small_model(), None, folder)
    with pytest.raises(ModelError, match=r"notes\.txt exists and is no model folder\."):
        save_model(small_model(), None, folder / "notes.txt")


# --- what cannot be loaded


def test_missing_folder_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "demo-model").mkdir()
    refused(
        tmp_path / "demo-modle", f"There is no model at {tmp_path / 'demo-modle'}.", f"Did you mean {tmp_path / 'demo-model'}?"
    )
    refused(tmp_path / "demo-modle" / "rounds" / "03", f"Did you mean {tmp_path / 'demo-model'}?")
    refused(tmp_path / "quite-other", "Check the name")
    for read in (is_finetuned, load_masks, load_reader):
        with pytest.raises(ModelError, match="Did you mean"):
            read(tmp_path / "demo-modle")


def test_relative_path_under_a_folder_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints" / "demo").mkdir(parents=True)
    refused("checkpoints/dmo", "There is no model at checkpoints/dmo. Did you mean checkpoints/demo?")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A hub that cannot be reached and a cache that holds nothing; gives the files asked for."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    requests: list[str] = []

    def download(name: str, file: str) -> str:
        requests.append(f"{name}/{file}")
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.chdir(tmp_path)
    return requests


def test_hub_out_of_reach(no_network: list[str]) -> None:
    refused(
        "microsoft/codebert-base",
        "There is no model at microsoft/codebert-base",
        "hub cannot be reached (HF_HUB_OFFLINE is set)",
        "while online",
    )
    assert no_network == ["microsoft/codebert-base/config.json"]


def test_the_real_client_offline_is_reported_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("HF_HUB_OFFLINE") != "1":
        pytest.skip("needs HF_HUB_OFFLINE=1 from the start of the process")
    monkeypatch.chdir(tmp_path)
    refused("nobody-xyz/nothing-xyz", "hub cannot be reached (HF_HUB_OFFLINE is set)")


def test_hub_without_that_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    class NotFoundError(RepositoryNotFoundError):
        def __init__(self) -> None:
            Exception.__init__(self, "404")

    def download(name: str, file: str) -> str:
        raise NotFoundError

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("core.families.weightfiles.why_unreachable", lambda: "")
    monkeypatch.chdir(tmp_path)
    refused("nobody/codbert", "There is no model at nobody/codbert.", "no public model of that name")


def test_one_word_that_is_nowhere_is_no_hub_name_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[str]
) -> None:
    (tmp_path / "codebert").mkdir()
    both = ("There is no model codbert in this folder, and none of that name was downloaded from the Hugging Face hub.",)
    refused("codbert", *both, "Did you mean codebert?", "with its owner, such as microsoft/codebert-base")
    refused("ruby-mni", "Did you mean checkpoints/bundled/ruby-mini?")
    assert no_network == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub" / "models--roberta-base").mkdir(parents=True)
    refused("roberta-base", "It is not in the Hugging Face cache")  # begun to be downloaded: the hub's after all
    assert no_network == ["roberta-base/config.json"]


def test_hub_encoder_with_a_bin_file_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CodeBERT's files on the hub: no safetensors, no tokenizer.json."""
    from huggingface_hub.errors import EntryNotFoundError

    encoder = RobertaModel(RobertaConfig(**ENCODER))
    cache = tmp_path / "cache"
    cache.mkdir()
    encoder.config.to_json_file(cache / "config.json")
    torch.save(encoder.state_dict(), cache / "pytorch_model.bin")
    bpe_files(cache, 50)

    def download(name: str, file: str) -> str:
        assert name == "microsoft/codebert-base"
        if not (cache / file).exists():
            raise EntryNotFoundError(file)
        return str(cache / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("core.families.weightfiles.why_unreachable", lambda: "")
    monkeypatch.chdir(tmp_path)
    model = load_model("microsoft/codebert-base")
    assert torch.equal(model.encoder.embeddings.word_embeddings.weight, encoder.embeddings.word_embeddings.weight)
    assert len(model.decoder.layers) == 6
    assert load_reader("microsoft/codebert-base").tokenizer.token_to_id("<pad>") == 1
    (cache / "pytorch_model.bin").unlink()
    refused("microsoft/codebert-base", "has no model.safetensors or pytorch_model.bin")


def test_a_run_is_no_model_and_neither_is_a_round_without_weights(golden: Path, tmp_path: Path) -> None:
    bare = tmp_path / "run" / "rounds" / "01"
    bare.mkdir(parents=True)
    (bare / "metrics.json").write_text("{}")
    refused(tmp_path / "run", f"{tmp_path / 'run'} is a run and holds no model itself.", "None of its rounds has weights")
    refused(bare, f"{bare} is a round whose weights are not there.", "Give another round")
    golden.rename(tmp_path / "run" / "rounds" / "00")
    refused(tmp_path / "run", f"Give one of its rounds, such as {tmp_path / 'run' / 'rounds' / '00'}.")


def test_folder_without_configuration_or_weights(golden: Path) -> None:
    (golden / "pytorch_model.bin").rename(golden / "pytorch_model-1.bin")
    refused(golden, "has neither model.safetensors nor pytorch_model.bin.", "Put the model's weights there")
    (golden / "pytorch_model.bin.index.json").write_text("{}")
    refused(golden, "pytorch_model.bin.index.json has no weight_map, so it does not say where the tensors are")
    refused(golden / "cases.json", "is no weights file")
    (golden / "config.json").unlink()
    refused(golden / "cases.json", "is no weights file")  # and no word about its folder
    refused(golden, f"{golden} has no config.json", "Put the model's configuration there", "run.py saves weights alone")


def test_broken_configuration(golden: Path) -> None:
    path = golden / "config.json"
    facts = json.loads(path.read_text())
    for changes, texts in (
        ({"model_type": "t5"}, ("model of type 't5'", "CodeBERT")),
        ({"pad_token_id": 0}, ("gives <pad> the id 0, but RoBERTa models need 1",)),
        ({"hidden_size": "wide"}, (str(path), "cannot be used", "hidden_size")),
        ({"num_attention_heads": 5}, ("asks for 5 heads in a width of 32",)),
        ({"vocab_size": 70}, (EMBEDDINGS, "the shape (60, 32), but config.json asks for (70, 32)")),
        ({"num_hidden_layers": 3}, ("lacks 16 tensors", "encoder.encoder.layer.2.attention.output.LayerNorm.bias, ")),
        ({"num_hidden_layers": 1}, ("holds 16 tensors that this architecture does not have", "encoder.encoder.layer.1")),
    ):
        path.write_text(json.dumps(facts | changes))
        refused(golden, *texts)
    for text in ("{", "[]", "\x00"):
        path.write_text(text)
        refused(golden, str(path), "Copy the file again")


def test_decoder_with_holes(golden: Path) -> None:
    saved = state(golden)
    torch.save({n: t for n, t in saved.items() if n != "decoder.layers.0.linear1.weight"}, golden / "pytorch_model.bin")
    refused(golden, "lacks decoder.layers.0.linear1.weight: its decoder is not whole")
    torch.save({n: t for n, t in saved.items() if n != "dense.bias"}, golden / "pytorch_model.bin")
    refused(golden, "lacks 1 tensor of this architecture: dense.bias.")


def test_output_layer_that_is_not_tied(golden: Path) -> None:
    saved = state(golden)
    torch.save(saved | {"lm_head.weight": saved["lm_head.weight"] + 1}, golden / "pytorch_model.bin")
    refused(golden, "lm_head.weight differs from encoder.embeddings.word_embeddings.weight")


def test_damaged_weights(golden: Path, tmp_path: Path) -> None:
    whole = (golden / "pytorch_model.bin").read_bytes()
    for damaged in (whole[:-5000], whole[:100], b"", b"no weights at all"):
        (golden / "pytorch_model.bin").write_bytes(damaged)
        refused(golden, "pytorch_model.bin is damaged or cut off", "Copy it again")
    save_model(small_model(), None, tmp_path / "own")
    file = tmp_path / "own" / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:20], b"", b"\xff" * 50):
        file.write_bytes(damaged)
        refused(tmp_path / "own", "model.safetensors is damaged or cut off")
        with pytest.raises(ModelError, match="damaged or cut off"):
            is_finetuned(tmp_path / "own")


class Trap:
    """Runs code when unpickled without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_pickles_with_code_are_not_opened(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = golden / "pytorch_model.bin"
    torch.save(state(golden) | {"trap": Trap()}, path)
    refused(golden, "holds objects whose loading could run code, so it was not opened", "torch.save(model.state_dict(), ...)")
    path.write_bytes(pickle.dumps(Trap()))
    refused(golden, "could run code")
    assert not Path("sprung").exists()
    torch.save({"model": state(GOLDEN)}, path)
    refused(golden, "holds no state dict")
    torch.save([1], path)
    refused(golden, "holds no state dict")


# --- tokenizers


def bpe_files(folder: Path, size: int, first: tuple[str, ...] = ("<s>", "<pad>", "</s>", "<unk>")) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZĠ"
    words = [*[*first, *letters][: size - 1], "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def test_roberta_tokenizer_from_vocabulary_and_merges(tmp_path: Path) -> None:
    bpe_files(tmp_path, 60)
    words = load_reader(tmp_path)
    (ids,) = words.ids(["ab c"], 9)
    assert ids == [0, 4, 5, 56, 6, 2]
    assert words.text(ids[1:]) == "ab c"
    assert len(words) == 58


def test_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no tokenizer: neither tokenizer\.json nor vocab\.json with merges\.txt\. Copy"):
        load_reader(tmp_path)


def test_damaged_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot be read: .* Copy its files again"):
        load_reader(tmp_path)


def test_other_special_tokens(tmp_path: Path) -> None:
    bpe_files(tmp_path, 60, first=("<pad>", "<s>", "</s>"))
    with pytest.raises(ModelError, match="gives <s> the id 1, but RoBERTa models need 0"):
        load_reader(tmp_path)


def test_more_words_than_embeddings(tmp_path: Path) -> None:
    save_model(small_model(vocab_size=100), tokenizer(), tmp_path / "m")
    entries = Tokenizer.from_file(str(tmp_path / "m" / "tokenizer.json")).get_vocab_size()
    with pytest.raises(ModelError, match=f"has {entries} entries, but the model only 100 embeddings"):
        load_reader(tmp_path / "m")


def test_config_defaults_follow_the_paper() -> None:
    config = CodeToTextConfig()
    assert (config.decoder_layers, config.decoder_heads, config.decoder_ffn, config.decoder_dropout) == (6, None, 2048, 0.1)
