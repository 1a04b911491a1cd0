"""Makes model folders that are wrong on purpose, each in one way: what a careless or hostile hand may leave in one.

`CASES` maps a name to a function that spoils a good folder; `good_folder` makes that folder. Deterministic and quick; no file
takes more than some megabytes of disk. The folders hold data only: nothing in them runs when it is loaded as it should be.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from test_loading import tokenizer
from test_model import small_model

from core.compress.quantize import quantize
from core.families.roberta import CodeToText
from core.model import save_model
from core.spec.checkpoint_files import READER

Spoil = Callable[[Path], object]
WEIGHTS, CONFIG, WORDS, MASKS = "model.safetensors", "config.json", "tokenizer.json", "masks.safetensors"
HUGE = 10**9
QUERY = "encoder.encoder.layer.0.attention.self.query.weight"


def good_folder(folder: Path) -> None:
    """Writes a tiny fine-tuned model with its tokenizer."""
    words = tokenizer()
    save_model(small_model(vocab_size=len(words)), words, folder)


# --- the configuration


def config(**changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        facts = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(facts | changes))

    return spoil


def encoder_with(**changes: object) -> Spoil:
    """A bare encoder, whose decoder would be made by the configuration alone."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file({name: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}, folder / WEIGHTS)
        config(**changes)(folder)

    return spoil


def text(file: str, content: str | bytes) -> Spoil:
    return lambda folder: (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)


def config_cases() -> dict[str, Spoil]:
    wrong: dict[str, list[object]] = {
        "num_hidden_layers": [HUGE, -1, "2", 2.5, None, [2], True, 10**30],
        "num_attention_heads": [0, -4, HUGE, 5, "4"],
        "hidden_size": [0, -32, HUGE, "wide", [32], 33],
        "vocab_size": [0, -1, HUGE, 10**25, "many"],
        "intermediate_size": [0, -1, HUGE, {}],
        "max_position_embeddings": [0, 1, -1, HUGE],
        "type_vocab_size": [0, -1, HUGE],
        "decoder_heads": [0, -1, 5, HUGE, "4"],
        "decoder_ffn": [0, -1, HUGE],
        "decoder_layers": [-1, HUGE, "two"],
        "hidden_dropout_prob": [-0.5, 7, "much", HUGE],
        "decoder_dropout": [-1, 2, [0.1]],
        "layer_norm_eps": ["x", -1, 1e300],
        "initializer_range": [-1, "x"],
        "hidden_act": ["nosuch", 7, ["gelu"], {"a": 1}, "__import__"],
        "split_identifiers": ["yes", 2],
        "quantization": ["int3", 7, ["fp16"], {}, "int8-weight", "dynamic-int8"],
        "model_type": ["t5", 7, ["roberta"], None],
        "pad_token_id": [True, 0, "1", HUGE],
    }
    cases = {f"config {name} = {str(value)[:40]}": config(**{name: value}) for name, values in wrong.items() for value in values}
    for name, value in {"hidden_size": 16000, "decoder_ffn": HUGE, "num_hidden_layers": HUGE, "vocab_size": 4_000_000}.items():
        cases[f"encoder {name} = {value}"] = encoder_with(**{name: value})
    digits = '{"vocab_size": ' + "9" * 5000 + "}"
    texts = {"digits": digits, "nested": "[" * 200_000, "nan": '{"layer_norm_eps": NaN}', "empty": "", "list": "[]", "nul": "\0"}
    texts["unclosed nested object"] = '{"a":' * 100_000
    return cases | {f"config {name}": text(CONFIG, content) for name, content in texts.items()}


# --- files that are none


def instead(file: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return spoil


def hollow(path: Path, size: int = 50 * 10**9) -> None:
    """A file of many bytes, of which none is on the disk."""
    with path.open("wb") as stream:
        stream.truncate(size)


def hollow_tensors(path: Path) -> None:
    """A valid file of one tensor of 40 GB, which has only its header on the disk."""
    header = json.dumps({QUERY: {"dtype": "F32", "shape": [10**5, 10**5], "data_offsets": [0, 4 * 10**10]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + 4 * 10**10)


def file_cases() -> dict[str, Spoil]:
    kinds: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a folder": Path.mkdir,
        "a device": lambda path: path.symlink_to("/dev/zero"),
        "a loop": lambda path: path.symlink_to(path),
        "hollow": hollow,
    }
    return {f"{file} is {kind}": instead(file, make) for file in (CONFIG, WEIGHTS, WORDS, MASKS) for kind, make in kinds.items()}


# --- safetensors


def header(facts: object, length: int | None = None, room: int = 64) -> Spoil:
    content = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    size = len(content) if length is None else length
    return text(WEIGHTS, struct.pack("<Q", size) + content + bytes(room))


def tensor(shape: object, place: object = (0, 64), kind: object = "F32") -> dict[str, object]:
    return {QUERY: {"dtype": kind, "shape": shape, "data_offsets": place}}


def renamed(old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file({name.replace(old, new): value for name, value in tensors.items()}, folder / WEIGHTS)

    return spoil


def also(name: str, *shape: int) -> Spoil:
    return lambda folder: save_file(load_file(folder / WEIGHTS) | {name: torch.ones(*shape)}, folder / WEIGHTS)


def weight_cases() -> dict[str, Spoil]:
    headers = {
        "length 2**63": header(b"{}", 2**63),
        "length 90 MB": header(b"{}", 90_000_000),
        "no table": header([1]),
        "deep": header(b"[" * 100_000),
        "null": header({QUERY: None}),
        "shape of 10**18": header(tensor([HUGE, HUGE])),
        "negative shape": header(tensor([-4, -4])),
        "shape of texts": header(tensor(["4", "4"])),
        "shape of a million sizes": header(tensor([1] * 1_000_000)),
        "outside": header(tensor([4, 4], (10**12, 10**12 + 64))),
        "backwards": header(tensor([4, 4], (64, 0))),
        "unknown type": header(tensor([4, 4], kind="F512")),
        "type is a list": header(tensor([4, 4], kind=["F32"])),
        "places are texts": header(tensor([4, 4], ("0", "64"))),
        "digits": header(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}'),
        "40 GB of nothing": instead(WEIGHTS, hollow_tensors),
    }
    names = {
        "decoder layer 999999999": renamed("decoder.layers.1.", "decoder.layers.999999999."),
        "decoder layer x": renamed("decoder.layers.1.", "decoder.layers.x."),
        "decoder layer -1": renamed("decoder.layers.1.", "decoder.layers.-1."),
        "decoder layer 01": renamed("decoder.layers.1.", "decoder.layers.01."),
        "decoder layer of 5,000 digits": renamed("decoder.layers.1.", f"decoder.layers.{'9' * 5000}."),
        "one more layer 999999999": also("decoder.layers.999999999.linear1.weight", 2, 2),
        "a name of 100,000 characters": also("x" * 100_000, 2),
        "flat": lambda folder: save_file({n: t.flatten() for n, t in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS),
        "a number each": lambda folder: save_file({n: torch.ones(()) for n in load_file(folder / WEIGHTS)}, folder / WEIGHTS),
        "none": lambda folder: save_file({}, folder / WEIGHTS),
    }
    return {f"header: {n}": s for n, s in headers.items()} | {f"tensors: {n}": s for n, s in names.items()}


# --- pickles


class Made:
    """What pickles to a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def pickled(value: object, *, old: bool = False, compressed: bool = False) -> Spoil:
    """The weights as a `.bin`, saved by today's `torch.save`, by that before 1.6, or in a compressed archive."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        path = folder / "pytorch_model.bin"
        torch.save(value, path, pickle_protocol=2, _use_new_zipfile_serialization=not old)
        if compressed:
            parts = {name: zipfile.ZipFile(path).read(name) for name in zipfile.ZipFile(path).namelist()}
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in parts.items():
                    archive.writestr(name, content)

    return spoil


def resized(path: Path) -> None:
    """An old file whose tensor has more rows than numbers: read naively, its storage grows to 6 GB."""
    torch.save({QUERY: torch.ones(40_000)[:1].expand(40_000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    flat, wide = b"\x4d\x40\x9c\x85", b"\x4d\x40\x9c\x4d\x40\x9c\x86"  # a tuple of 40,000; one of 40,000 twice
    assert flat in content
    path.write_bytes(content.replace(flat, wide))


def pickle_cases() -> dict[str, Spoil]:
    stretched = {QUERY: torch.ones(1).expand(10**5, 10**5)}
    shared = torch.ones(100, 100)
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # torch 2.11 warns in spite of the call's own argument
        sparse = torch.sparse_coo_tensor(torch.zeros(2, 1), torch.ones(1), (HUGE, HUGE))
    cases = {
        "stretched": pickled(stretched),
        "stretched, old": pickled(stretched, old=True),
        "bytearray of 10 GB": pickled({"a": Made(bytearray, 10**10)}),
        "bytearray of 10 GB, old": pickled({"a": Made(bytearray, 10**10)}, old=True),
        "sparse": pickled({QUERY: sparse}),
        "meta": pickled({QUERY: torch.empty(HUGE, HUGE, device="meta")}),
        "complex": pickled({QUERY: torch.ones(4, 4, dtype=torch.complex64)}),
        "one matrix under 200 names": pickled({f"m{number}": shared for number in range(200)}),
        "compressed": pickled({QUERY: torch.zeros(1000, 1000)}, compressed=True),
        "numbers for names": pickled({7: torch.ones(2)}),
        "texts for tensors": pickled({"a": "b" * 10_000}),
        "a list": pickled([torch.ones(2)]),
        "more rows than numbers, old": instead(WEIGHTS, lambda path: resized(path.with_name("pytorch_model.bin"))),
        "a million instructions": raw_pickles(b"\x80\x02" + b"N0" * 500_000 + b"N."),
        "a text of 2**62": raw_pickles(b"\x80\x02\x8d" + struct.pack("<Q", 2**62)),
        "only zip": instead(WEIGHTS, lambda path: path.with_name("pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))),
        "stack global": raw_pickles(pickle.dumps(Path("x"), 4)),
    }
    return {f"pickle: {name}": spoil for name, spoil in cases.items()}


def raw_pickles(main: bytes) -> Spoil:
    """An old file with these instructions where the tensors should be."""

    def spoil(folder: Path) -> None:
        stream = io.BytesIO()
        for begin in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(begin, stream, 2)
        (folder / WEIGHTS).unlink()
        (folder / "pytorch_model.bin").write_bytes(stream.getvalue() + main)

    return spoil


# --- masks


def masks(shapes: object, size: int = 8, kind: Any = np.uint8) -> Spoil:
    return lambda folder: save_arrays({QUERY: np.ones(size, kind)}, folder / MASKS, {"shapes": json.dumps(shapes)})


def mask_cases() -> dict[str, Spoil]:
    wrong: dict[str, object] = {
        "10**9 bits": {QUERY: [HUGE]}, "too few bits": {QUERY: [4, 4]}, "negative": {QUERY: [-8, -8]}, "texts": {QUERY: ["64"]},
        "not a table": [64], "other name": {"x": [64]}, "one name more": {QUERY: [64], "y": [8]}, "number": {QUERY: 64},
        "other matrix": {QUERY: [8, 8]}, "fractions": {QUERY: [8.0, 8.0]}, "true": {QUERY: [True, 64]},
    }  # fmt: skip
    cases = {name: masks(shapes) for name, shapes in wrong.items()}
    cases["floats"] = masks({QUERY: [64]}, kind=np.float32)
    cases["no shapes"] = lambda folder: save_arrays({QUERY: np.ones(8, np.uint8)}, folder / MASKS)
    cases["cut off"] = text(MASKS, b"\x10\0\0")
    return {f"masks: {name}": spoil for name, spoil in cases.items()}


# --- tokenizers


def words(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        facts = json.loads((folder / WORDS).read_text())
        change(facts)
        (folder / WORDS).write_text(json.dumps(facts))

    return spoil


def part(key: str, value: object) -> Spoil:
    return words(lambda facts: facts.update({key: value}))


def model_part(key: str, value: object) -> Spoil:
    return words(lambda facts: facts["model"].update({key: value}))


def token_cases() -> dict[str, Spoil]:
    doubling = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    slow = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 100_000, "pair": []}
    wide = {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {"<s>": {"ids": [0] * 10**6}}}
    cases = {
        "doubling 40 times": part("normalizer", {"type": "Sequence", "normalizers": [doubling] * 40}),
        "doubling": part("normalizer", doubling),
        "prepend": part("normalizer", {"type": "Prepend", "prepend": "x" * 1_000_000}),
        "charsmap": part("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}),
        "a million normalizers": part("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 10**5}),
        "normalizer is a text": part("normalizer", "NFC"),
        "normalizer without type": part("normalizer", {}),
        "type is a list": part("normalizer", {"type": ["NFC"]}),
        "slow expression": part("pre_tokenizer", slow),
        "slow expression inside": part("pre_tokenizer", {"type": "Sequence", "pretokenizers": [slow]}),
        "decoder that doubles": part("decoder", {"type": "Sequence", "decoders": [doubling] * 40}),
        "template": part("post_processor", template),
        "wide template": part("post_processor", wide),
        "no model": part("model", None),
        "unigram": model_part("type", "Unigram"),
        "word piece": model_part("type", "WordPiece"),
        "random": model_part("dropout", 0.5),
        "long prefix": model_part("continuing_subword_prefix", "x" * 1_000_000),
        "no vocabulary": model_part("vocab", {}),
        "vocabulary of texts": model_part("vocab", {"a": "0"}),
        "vocabulary is a list": model_part("vocab", ["a"]),
        "huge id": words(lambda facts: facts["model"]["vocab"].update({"zz": 4_000_000_000})),
        "negative id": words(lambda facts: facts["model"]["vocab"].update({"zz": -1})),
        "huge token": words(lambda facts: facts["model"]["vocab"].update({"z" * 10**6: 299})),
        "merges of nothing": model_part("merges", [["q", "☃"]]),
        "merges are numbers": model_part("merges", [[1, 2]]),
        "too many tokens": words(lambda facts: facts["model"]["vocab"].update({f"t{n}": 300 + n for n in range(1000)})),
        "other special tokens": words(lambda facts: facts["model"]["vocab"].update({"<s>": 5})),
        "added tokens are texts": part("added_tokens", ["<s>"]),
        "huge added token": part("added_tokens", [{"id": 0, "content": "y" * 10**6, "special": True}]),
        "digits": text(WORDS, '{"model": {"vocab": {"a": ' + "9" * 5000 + "}}}"),
        "deep": text(WORDS, "[" * 200_000),
        "empty": text(WORDS, ""),
        "not UTF-8": text(WORDS, b"\xff\xfe{}"),
        "a list": text(WORDS, "[]"),
    }
    for name, vocabulary, merges in (
        ("vocab is a list", "[]", ""),
        ("vocab of texts", '{"a": "b"}', ""),
        ("merges of one part", '{"<s>": 0, "<pad>": 1, "</s>": 2}', "abc\n"),
        ("merges of three parts", '{"<s>": 0, "<pad>": 1, "</s>": 2}', "a b c\n"),
        ("merges of nothing in vocab", '{"<s>": 0, "<pad>": 1, "</s>": 2}', "q r\n"),
    ):
        cases[name] = lambda folder, vocabulary=vocabulary, merges=merges: two_files(folder, vocabulary, merges)  # type: ignore[misc]
    for file in ("vocab.json", "merges.txt"):
        cases[f"{file} is a pipe"] = lambda folder, file=file: (two_files(folder, "{}", ""), instead(file, os.mkfifo)(folder))  # type: ignore[misc]
    return {f"tokenizer: {name}": spoil for name, spoil in cases.items()}


def two_files(folder: Path, vocabulary: str, merges: str) -> None:
    (folder / WORDS).unlink()
    (folder / "vocab.json").write_text(vocabulary)
    (folder / "merges.txt").write_text(merges)


# --- several files, and quantized models


def index(facts: object) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        (folder / f"{WEIGHTS}.index.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))

    return spoil


def quantized(spoil: Spoil, method: str = "int8-weight") -> Spoil:
    def both(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        words = tokenizer()
        model: CodeToText = quantize(small_model(vocab_size=len(words)), method)
        save_model(model, words, folder)
        spoil(folder)

    return both


def other_cases() -> dict[str, Spoil]:
    scale = "decoder.layers.0.linear1.weight_scale"
    many = json.dumps({"steps": ["split-identifiers"] * 10**5})
    readers = {"unknown step": '{"steps": ["__import__"]}', "number": '{"steps": 7}', "many": many, "cut off": "{"}
    indexes = {
        "outside": {"weight_map": {QUERY: "../../etc/passwd"}},
        "itself": {"weight_map": {QUERY: f"{WEIGHTS}.index.json"}},
        "nothing": {"weight_map": {}},
        "a list": {"weight_map": [1]},
        "a missing file": {"weight_map": {QUERY: "part-2.safetensors"}},
        "a tensor that is not there": {"weight_map": {"x": "part.safetensors"}},
        "numbers": {"weight_map": {QUERY: 7}},
        "deep": "[" * 100_000,
    }
    changes = {
        "wide": config(hidden_size=16000),
        "long": config(max_position_embeddings=10**6),
        "layers": config(num_hidden_layers=1000),
        "million layers": config(num_hidden_layers=10**6),
        "ffn": config(decoder_ffn=60_000),
        "other method": config(quantization="dynamic-int8"),
        "as fp16": config(quantization="fp16"),
        "as llm-int8": config(quantization="llm-int8"),
        "scale of another layer": renamed(scale, f"x{scale}"),
        "scale alone": also("x.weight_scale", 4),
        "scale in another shape": also(scale, 7),
    }
    dynamic = changes | {"other method": config(quantization="int8-w8a8")}
    return (
        {f"reader: {name}": text(READER, content) for name, content in readers.items()}
        | {f"index: {name}": index(facts) for name, facts in indexes.items()}
        | {f"quantized: {name}": quantized(spoil) for name, spoil in changes.items()}
        | {f"quantized dynamically: {name}": quantized(spoil, "dynamic-int8") for name, spoil in dynamic.items()}
    )


CASES: dict[str, Spoil] = (
    config_cases() | file_cases() | weight_cases() | pickle_cases() | mask_cases() | token_cases() | other_cases()
)
"""What is wrong with a folder -> what makes it so."""
