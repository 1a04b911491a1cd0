"""Makes a model or reader of the files found, and saves our own.

Four kinds of checkpoints are read: our folder (`config.json`, `model.safetensors`, tokenizer); CodeXGLUE's (`pytorch_model.bin`
beside a RoBERTa `config.json`); the same pruned by the paper; and a bare RoBERTa encoder, which gets a fresh decoder. A tensor
that none of them has is an error: what was trained must not get lost in silence. Sizes are held against the file before anything
is made of it.

Knows nothing of training, decoding or the screen, and leaves finding and reading files to `weightfiles`. transformers' own
`from_pretrained` is not used: it draws progress bars and warns of names it does not know.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from .atomic import TEMPORARY, complete_or_absent
from .compress.masks import load_masks as read_masks
from .compress.quantized_files import load_quantized, save_quantized
from .errors import ModelError
from .families.config import BOS, EOS, PAD, CodeToTextConfig
from .families.decoder import Decoder
from .families.encoder import ACTIVATIONS
from .families.memory import available_bytes
from .families.reader import Reader, read_reader
from .families.roberta import CodeToText, outline
from .families.weightfiles import (
    NO_WEIGHTS,
    find_tokenizer,
    find_weights,
    plain_names,
    read_json,
    read_shapes,
    read_tensors,
    unpack,
)
from .regularfile import size_words
from .spec.checkpoint_files import CONFIG, READER, WEIGHTS
from .spec.configfields import check_fields, short

ENCODER_FIELDS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size", "initializer_range",
    "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
"""What is taken over from a RoBERTa configuration; the rest (generation, versions) means nothing here."""

DECODER_FIELDS = ("decoder_layers", "decoder_heads", "decoder_ffn", "decoder_dropout", "pretrained_only")
"""What our own configuration adds."""

LAYER_FIELDS = ("heads_by_layer", "neurons_by_layer")
"""What it adds where layers differ."""

MASKS = "masks.safetensors"
"""Lies beside the weights in every round of a run."""
OWN_FILES = {CONFIG, WEIGHTS[0], READER, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
"""What `save_model` writes; a folder with anything else in it is not replaced."""

UNNEEDED = re.compile(
    r"lm_head\.(?:bias|(?:dense|layer_norm|decoder)\.(?:weight|bias))"  # guesses masked words: RobertaForMaskedLM
    r"|classifier\.(?:(?:dense|out_proj)\.)?(?:weight|bias)"  # sorts texts or tokens: RobertaFor...Classification
    r"|qa_outputs\.(?:weight|bias)"  # finds answers: RobertaForQuestionAnswering
)
"""Heads of other tasks, which a bare encoder may bring along: they stand on top of it, and its decoder takes their place."""

_TIED, _EMBEDDINGS = "lm_head.weight", "encoder.embeddings.word_embeddings.weight"
_DECODER, _POOLER = "decoder.layers.", "encoder.pooler."


def load_model(source: str | Path, *, decoder_layers: int = 6, seed: int = 0) -> CodeToText:
    """Load a model on the CPU, in evaluation mode: in float32, or as it was quantized when its folder is of a quantized model.

    Args:
        source: Folder, weights file with a `config.json` beside it, or the name of a RoBERTa encoder on the Hugging Face hub.
        decoder_layers: Depth of the fresh decoder that a bare encoder gets; a checkpoint with a decoder keeps its own.
        seed: Of the fresh decoder's weights; torch's global generators are left as they are.

    Returns:
        The model; output layer and word embeddings are one tensor, unless the output layer was quantized to integers.

    Raises:
        ModelError: Nothing there, damaged, not of this architecture, or the hub cannot be reached.
    """
    path = find_weights(source)
    facts = _read_config(path.parent / CONFIG)
    if facts.get("quantization") is not None:
        tensors = read_tensors(path)
        _check_depths(facts, tensors, path)
        return load_quantized(tensors, _make_config(facts, path.parent / CONFIG), path, _assemble)
    weights, _ = unpack(read_tensors(path), path)
    finetuned = _has_decoder(weights)
    facts |= _decoder_shape(weights, path) if finetuned else {"decoder_layers": decoder_layers}
    _check_depths(facts, weights, path, encoder_only=not finetuned)
    config = _make_config(facts, path.parent / CONFIG)
    if not finetuned:
        weights = _encoder_only(weights, path)
        weights = _fresh_parts(config, weights, path, seed) | weights
    return _assemble(config, weights, path)


def is_finetuned(source: str | Path) -> bool:
    """Whether a model brings a decoder that has learned the task; reads names, not weights.

    Args:
        source: As for `load_model`.

    Raises:
        ModelError: As for `load_model`.
    """
    path = find_weights(source)
    config = path.parent / CONFIG
    pretrained_only = config.exists() and read_json(config).get("pretrained_only") is True
    names = plain_names(read_shapes(path)).values()
    if not _has_decoder(names):
        _check_encoder_only(names, path)
        return False
    return not pretrained_only


def load_masks(source: str | Path) -> dict[str, Tensor]:
    """The masks that a model was pruned with: those beside it in a round of a run, or inside a pruned checkpoint of the paper.

    Args:
        source: As for `load_model`.

    Returns:
        Parameter name -> bool tensor, True = kept; only matrices of which something is pruned, so {} for a dense model.

    Raises:
        ModelError: As for `load_model`, or the masks are those of another model.
    """
    path = find_weights(source)
    beside = path.parent / MASKS
    if not (beside.exists() or beside.is_symlink()):  # a link that leads nowhere is no sign of a dense model
        masks = unpack(read_tensors(path), path)[1]
    else:
        masks = read_masks(beside)
        _check_masks(masks, read_shapes(path), beside)
    return {name: mask for name, mask in masks.items() if not bool(mask.all())}


def load_reader(source: str | Path) -> Reader:
    """Load the reader that lies with a model.

    Args:
        source: Folder with `tokenizer.json`, or with RoBERTa's `vocab.json` and `merges.txt`; or a hub name.

    Returns:
        What turns texts into the model's ids and back; its tokenizer has `<s>` = 0, `<pad>` = 1, `</s>` = 2.

    Raises:
        ModelError: There is none, it is damaged, has other special tokens, or more entries than the model has embeddings.
    """
    folder = find_tokenizer(source)
    reader = read_reader(folder)
    _check_vocabulary(reader.tokenizer, folder)
    return reader


def save_model(model: CodeToText, reader: Reader | None, folder: str | Path, half: bool = False, decoder: bool = True) -> None:
    """Write a model folder, complete or absent.

    Args:
        model: On any device.
        reader: Saved beside it, or None.
        folder: A new folder, or an earlier model folder, which is replaced.
        half: Write float16, half the size; `load_model` gives float32 again.
        decoder: False leaves out all but the encoder: the file then counts as a pre-trained encoder, not as fine-tuned.

    Raises:
        ModelError: The folder exists and holds something other than a model.
    """
    folder = Path(folder)
    if model.config.quantization is not None:
        assert reader is not None
        save_quantized(model, reader, folder, config_facts(model))
        return
    _check_replaceable(folder)
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name != _TIED and (decoder or name.startswith("encoder."))
    }
    aside = folder.with_name(f"{TEMPORARY}{folder.name}-replaced")
    with complete_or_absent(folder) as draft:
        draft.mkdir()
        save_file(tensors, draft / WEIGHTS[0], metadata={"format": "pt"})
        (draft / CONFIG).write_text(json.dumps(config_facts(model), indent=1) + "\n", encoding="utf-8")
        if reader is not None:
            reader.save(draft)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.replace(aside)
    shutil.rmtree(aside, ignore_errors=True)


def config_facts(model: CodeToText) -> dict[str, object]:
    """The entries of a `config.json` that describe a model's architecture."""
    facts: dict[str, object] = {"model_type": CodeToTextConfig.model_type, "architectures": [type(model).__name__]}
    facts |= {name: getattr(model.config, name) for name in (*ENCODER_FIELDS, *DECODER_FIELDS)}
    return facts | {name: value for name in LAYER_FIELDS if (value := getattr(model.config, name)) is not None}


def _read_config(path: Path) -> dict[str, object]:
    """The entries of a `config.json` that matter here, known to be a RoBERTa's."""
    facts = read_json(path)
    kind = facts.get("model_type", "roberta")
    if kind not in ("roberta", CodeToTextConfig.model_type):
        raise ModelError(
            f"{path} describes a model of type {short(kind)}, but only RoBERTa encoders and this project's models can be loaded.",
            "Choose CodeBERT, GraphCodeBERT, UniXcoder, another RoBERTa, or a model folder written by codeprune-tui.",
        )
    for role, token, number in (("bos", "<s>", BOS), ("pad", "<pad>", PAD), ("eos", "</s>", EOS)):
        given = facts.get(f"{role}_token_id", number)
        if given != number or isinstance(given, bool):
            raise ModelError(
                f"{path} gives {token} the id {short(given)}, but RoBERTa models need {number}.",
                "Use a model and tokenizer in RoBERTa's layout: <s> = 0, <pad> = 1, </s> = 2.",
            )
    check_fields(facts, path)
    facts = {name: facts[name] for name in (*ENCODER_FIELDS, *DECODER_FIELDS, *LAYER_FIELDS, "quantization") if name in facts}
    if (name := facts.get("hidden_act", "gelu")) not in ACTIVATIONS:
        raise ModelError(f"{path} asks for the unknown hidden_act {short(name)}.", "RoBERTa models have gelu.")
    return facts


def _make_config(facts: Mapping[str, object], path: Path) -> CodeToTextConfig:
    """The configuration, every default filled in and held against its limits."""
    config = CodeToTextConfig(**facts)  # type: ignore[arg-type]  # `check_fields` has looked at their types
    check_fields(asdict(config), path)
    if config.hidden_size % (config.decoder_heads or config.num_attention_heads):
        raise ModelError(
            f"{path} asks for {config.decoder_heads} decoder heads in a width of {config.hidden_size}, which they do not divide.",
            "Correct decoder_heads.",
        )
    return config


def _has_decoder(names: Iterable[str]) -> bool:
    return any(name.startswith(_DECODER) for name in names)


def _decoder_shape(weights: Mapping[str, Tensor], path: Path) -> dict[str, object]:
    """Depth and width as the checkpoint has them, whatever its configuration says."""
    layers = {name.removeprefix(_DECODER).split(".")[0] for name in weights if name.startswith(_DECODER)}
    inner = weights.get(f"{_DECODER}0.linear1.weight")
    missing = next((number for number in range(len(layers)) if str(number) not in layers), None)
    if inner is None or missing is not None or inner.dim() != 2:
        lacks = f"{_DECODER}{missing}" if missing else f"{_DECODER}0.linear1.weight"
        raise ModelError(f"{path} lacks {lacks}: its decoder is not whole.", "Save the checkpoint again.")
    return {"decoder_layers": len(layers), "decoder_ffn": inner.shape[0]}


def _check_depths(facts: Mapping[str, object], names: Iterable[str], path: Path, *, encoder_only: bool = False) -> None:
    """Refuses a configuration with more layers than the file has tensors: to lay out a million layers would take hours."""
    count = len(list(names))
    for field in ("num_hidden_layers",) if encoder_only else ("num_hidden_layers", "decoder_layers"):
        layers = facts.get(field, getattr(CodeToTextConfig, field, 0))
        if isinstance(layers, int) and layers > count:
            raise ModelError(
                f"{path.parent / CONFIG} asks for {field} = {layers:,}, but {path.name} holds {count} tensors in all.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )


def _encoder_only(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The encoder under our names, without the heads of other tasks; a ModelError where there is more than these."""
    prefix, encoder = _check_encoder_only(weights, path)
    return {f"encoder.{name.removeprefix(prefix)}": tensor for name, tensor in weights.items() if name.startswith(encoder)}


def _check_encoder_only(names: Collection[str], path: Path) -> tuple[str, tuple[str, ...]]:
    """Raises ModelError where a checkpoint has more than an encoder and heads that nobody needs.

    Returns:
        What stands before the names of the encoder, and how they begin.
    """
    prefix = next((p for p in ("encoder.", "roberta.") if f"{p}embeddings.word_embeddings.weight" in names), "")
    encoder = tuple(f"{prefix}{part}" for part in ("embeddings.", "encoder.", "pooler."))
    unneeded = (UNNEEDED, NO_WEIGHTS)
    other = sorted(name for name in names if not name.startswith(encoder) and not any(p.fullmatch(name) for p in unneeded))
    if other:
        raise ModelError(
            f"{path} holds an encoder, and {len(other)} tensors that nothing here uses: {_first(other)}.",
            "A decoder of another architecture cannot be used, and dropping it would lose what it learned. Give a checkpoint of "
            f"CodeXGLUE's architecture (names begin with {_DECODER}), or save the encoder by itself.",
        )
    return prefix, encoder


def _fresh_parts(config: CodeToTextConfig, encoder: Mapping[str, Tensor], path: Path, seed: int) -> dict[str, Tensor]:
    """Everything a bare encoder lacks: decoder, `dense`, and a pooler, which checkpoints for masked words do without.

    Raises:
        ModelError: The encoder is not the one that the configuration describes, or there is no memory for so wide a decoder.
    """
    wanted = {name: tensor.shape for name, tensor in outline(config).state_dict().items() if name != _TIED}
    given = {name: shape for name, shape in wanted.items() if name.startswith("encoder.") and not name.startswith(_POOLER)}
    pooler = {name: shape for name, shape in wanted.items() if name.startswith(_POOLER)}
    _check_tensors(given | (pooler if any(name.startswith(_POOLER) for name in encoder) else {}), encoder, path)
    needed, free = 4 * sum(shape.numel() for name, shape in wanted.items() if name not in given), available_bytes()
    if free and needed > free:
        raise ModelError(
            f"{path.parent / CONFIG} asks for a decoder of {size_words(needed)}, but {size_words(free)} of memory are free.",
            "Correct decoder_ffn, or use a larger machine.",
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs too
        parts = nn.ModuleDict({"decoder": Decoder(config), "dense": nn.Linear(config.hidden_size, config.hidden_size)})
        matrix = torch.empty(config.hidden_size, config.hidden_size).normal_(0.0, config.initializer_range)
    fresh: dict[str, Tensor] = {name: tensor.detach() for name, tensor in parts.state_dict().items()}
    return fresh | {f"{_POOLER}dense.weight": matrix, f"{_POOLER}dense.bias": torch.zeros(config.hidden_size)}


def _assemble(config: CodeToTextConfig, weights: dict[str, Tensor], path: Path) -> CodeToText:
    """The model around these very tensors: nothing is drawn at random first, and nothing copied."""
    model = outline(config)
    tied = weights.pop(_TIED, None)
    if tied is not None and _EMBEDDINGS in weights and not torch.equal(tied, weights[_EMBEDDINGS]):
        raise ModelError(
            f"In {path} {_TIED} differs from {_EMBEDDINGS}, but in this architecture they are one tensor.",
            f"Remove {_TIED} from the checkpoint if the embeddings are the ones to keep.",
        )
    _check_tensors({name: tensor.shape for name, tensor in model.state_dict().items() if name != _TIED}, weights, path)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie()
    model.eval()
    return model


def _check_tensors(wanted: Mapping[str, torch.Size], given: Mapping[str, Tensor], path: Path) -> None:
    """Raise ModelError unless the same tensors are given as wanted, in the same shapes."""
    problems = (
        (wanted.keys() - given.keys(), "lacks {} tensors of this architecture"),
        (given.keys() - wanted.keys(), "holds {} tensors that this architecture does not have"),
    )
    for names, problem in problems:
        if names:
            raise ModelError(
                f"{path} {problem.format(len(names))}: {_first(sorted(names))}.",
                f"Check that {CONFIG} belongs to these weights and that they are a RoBERTa or CodeXGLUE code-to-text checkpoint.",
            )
    for name, tensor in given.items():
        if tensor.shape != wanted[name]:
            raise ModelError(
                f"In {path} {name} has the shape {tuple(tensor.shape)}, but {CONFIG} asks for {tuple(wanted[name])}.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )


def _check_masks(masks: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    for name, mask in masks.items():
        if tuple(mask.shape) != shapes.get(name):
            raise ModelError(
                f"{path} holds a mask of shape {tuple(mask.shape)} for {short(name)}, but the weights beside it have "
                f"{shapes.get(name, 'no such tensor')}.",
                "Put the masks there that belong to these weights, or remove the file.",
            )


def _first(names: list[str]) -> str:
    """The first names of a list, for an error."""
    return ", ".join(name if len(name) < 100 else short(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _check_vocabulary(backend: Tokenizer, folder: Path) -> None:
    if not (folder / CONFIG).exists():
        return
    entries, embeddings = backend.get_vocab_size(with_added_tokens=True), read_json(folder / CONFIG).get("vocab_size")
    last = max(backend.get_vocab(with_added_tokens=True).values(), default=0)
    if isinstance(embeddings, int) and max(entries, last + 1) > embeddings:
        raise ModelError(
            f"The tokenizer in {folder} has {entries} entries"
            + (f" up to the id {last}" if last >= entries else "")
            + f", but the model only {embeddings} embeddings.",
            "Use the tokenizer that the model was trained with.",
        )


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    other = [] if not folder.is_dir() else sorted(path.name for path in folder.iterdir() if path.name not in OWN_FILES)
    if not folder.is_dir() or other:
        raise ModelError(
            f"{folder} exists and is no model folder" + (f" alone: it holds {other[0]}." if other else "."),
            "Choose another name, or move what is there.",
        )
