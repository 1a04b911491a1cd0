"""Loads models and readers from their files, and saves our own.

Four kinds of checkpoints are read: our folder (`config.json`, `model.safetensors`, tokenizer); CodeXGLUE's (`pytorch_model.bin`
beside a RoBERTa `config.json`); the same pruned by the paper; and a bare RoBERTa encoder, which gets a fresh decoder. A tensor
that none of them has is an error: trained weights must not get lost silently. Sizes are checked against the file before a model
is made from it.

Knows nothing of training, decoding or the screen, and leaves finding and reading files to `weightfiles`. transformers' own
`from_pretrained` is not used: it draws progress bars and warns about names that it does not know.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from .atomic import TEMPORARY, complete_or_absent
from .compress.masks import load_masks as read_masks
from .compress.quantize import restore_refused
from .compress.quantized_files import load_quantized, save_quantized
from .errors import ModelError
from .families.checkpoint import (
    ENCODER,
    TIED,
    assemble,
    check_depths,
    check_encoder_only,
    config_facts,
    decoder_shape,
    encoder_only,
    fresh_parts,
    has_decoder,
    make_config,
    read_config,
)
from .families.device import choose_device
from .families.reader import Reader, read_reader
from .families.roberta import CodeToText
from .families.weightfiles import (
    find_tokenizer,
    find_weights,
    plain_names,
    read_json,
    read_shapes,
    read_tensors,
    to_codes,
    unpack,
)
from .recipe import Device
from .spec.checkpoint_files import CONFIG, READER, WEIGHTS
from .spec.configfields import short
from .spec.quantizers import METHODS
from .spec.weightheaders import KEPT, PACKED, SCALES

logger = logging.getLogger(__name__)

MASKS = "masks.safetensors"
"""Name of the masks' file, beside the weights in every round of a run."""
OWN_FILES = {CONFIG, WEIGHTS[0], READER, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
"""Files that `save_model` writes; a folder with anything else in it is not replaced."""


def place(model: CodeToText, device: Device, threads: int, source: str | Path) -> CodeToText:
    """Moves a loaded model to where it is to compute.

    Args:
        model: On the CPU.
        device: "auto" takes the CPU for a model that computes there alone.
        threads: CPU threads, 0 = as many as cores.
        source: What errors call the model.

    Returns:
        The model on its device.

    Raises:
        TrainingError: The device is not there.
        ModelError: The model does not compute on it.
    """
    method = model.config.quantization
    if method is not None and METHODS[method].cpu_only:
        if device not in ("auto", "cpu"):
            raise ModelError(
                f"{source} is quantized ({method}) and computes on the CPU alone, not on {device}.", "Leave out --device."
            )
        device = "cpu"
    placed = model.to(choose_device(device, threads))
    if placed.device.type == "cuda" and (names := restore_refused(placed)):
        logger.warning("These layers compute in fp32, for a width of theirs is no multiple of 8: %s", ", ".join(names))
    return placed


def load_model(source: str | Path, *, decoder_layers: int = 6, seed: int = 0) -> CodeToText:
    """Loads a model on the CPU, in evaluation mode: in float32, or quantized where its folder holds a quantized model.

    Args:
        source: Folder, weights file with a `config.json` beside it, or the name of a RoBERTa encoder on the Hugging Face hub.
        decoder_layers: Depth of the fresh decoder for a bare encoder; a checkpoint with a decoder keeps its own.
        seed: Of the fresh decoder's weights; torch's global generators are left as they are.

    Returns:
        The model; output layer and word embeddings are one tensor, unless the output layer was quantized to integers.

    Raises:
        ModelError: The model is missing, damaged or of another architecture, or the hub cannot be reached.
    """
    path = find_weights(source)
    facts = read_config(path.parent / CONFIG)
    if facts.get("quantization") is not None:
        tensors = read_tensors(path)
        check_depths(facts, tensors, path)
        return load_quantized(tensors, make_config(facts, path.parent / CONFIG), path, assemble)
    weights, _ = unpack(read_tensors(path), path)
    finetuned = has_decoder(weights)
    facts |= decoder_shape(weights, facts, path) if finetuned else {"decoder_layers": decoder_layers}
    check_depths(facts, weights, path, encoder_only=not finetuned)
    config = make_config(facts, path.parent / CONFIG)
    if not finetuned:
        weights = encoder_only(weights, path)
        weights = fresh_parts(config, weights, path, seed) | weights
    return assemble(config, weights, path)


def is_finetuned(source: str | Path) -> bool:
    """Whether a model has a decoder that has learned the task; reads names, not weights.

    Args:
        source: As for `load_model`.

    Raises:
        ModelError: As for `load_model`.
    """
    path = find_weights(source)
    config = path.parent / CONFIG
    pretrained_only = config.exists() and read_json(config).get("pretrained_only") is True
    names = plain_names(read_shapes(path)).values()
    if not has_decoder(names):
        check_encoder_only(names, path)
        return False
    return not pretrained_only


def load_masks(source: str | Path) -> dict[str, Tensor]:
    """Loads the masks that a model was pruned with, from beside it in a round of a run or from a pruned checkpoint of the paper.

    Args:
        source: As for `load_model`.

    Returns:
        Parameter name -> bool tensor, True = kept; only matrices of which something is pruned, so {} for a dense model.

    Raises:
        ModelError: As for `load_model`, or the masks are those of another model.
    """
    path = find_weights(source)
    beside = path.parent / MASKS
    if not (beside.exists() or beside.is_symlink()):  # a dangling link does not mean a dense model
        masks = unpack(read_tensors(path), path)[1]
    else:
        masks = read_masks(beside)
        _check_masks(masks, read_shapes(path), beside)
    return {name: mask for name, mask in masks.items() if not bool(mask.all())}


def load_reader(source: str | Path) -> Reader:
    """Loads the reader of a model.

    Args:
        source: Folder with `tokenizer.json`, or with RoBERTa's `vocab.json` and `merges.txt`; or a hub name.

    Returns:
        The reader; its tokenizer has `<s>` = 0, `<pad>` = 1, `</s>` = 2.

    Raises:
        ModelError: The tokenizer is missing, damaged, has other special tokens, or more entries than the model has embeddings.
    """
    folder = find_tokenizer(source)
    reader = read_reader(folder)
    _check_vocabulary(reader.tokenizer, folder)
    return reader


def save_model(
    model: CodeToText,
    reader: Reader | None,
    folder: str | Path,
    half: bool = False,
    decoder: bool = True,
    packed: Mapping[str, Tensor] | None = None,
    codes: bool = False,
) -> None:
    """Writes a model folder, complete or absent.

    Args:
        model: On any device.
        reader: Saved beside it, or None.
        folder: A new folder, or an earlier model folder, which is replaced.
        half: Whether to write float16, half the size; `load_model` gives float32 again.
        decoder: False writes the encoder alone: the file then counts as a pre-trained encoder, not as fine-tuned.
        packed: Parameter name -> mask, for matrices of which the kept values alone are written. Exactly these masks have to lie
            beside the weights, which cannot be read without them.
        codes: Whether to round these kept values to 8 bits, with one scale for each row; `load_model` multiplies them out.

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
        if name != TIED and (decoder or name.startswith(ENCODER))
    }
    metadata = {"format": "pt"}
    if packed:
        metadata = {PACKED: json.dumps({name: list(mask.shape) for name, mask in packed.items()})}
        for name, mask in packed.items():
            weight = tensors.pop(name)
            if codes:
                tensors[name + KEPT], tensors[name + SCALES] = to_codes(model.get_parameter(name).detach().cpu(), mask.cpu())
            else:
                tensors[name + KEPT] = weight[mask.cpu()]
    aside = folder.with_name(f"{TEMPORARY}{folder.name}-replaced")
    with complete_or_absent(folder) as draft:
        draft.mkdir()
        save_file(tensors, draft / WEIGHTS[0], metadata=metadata)
        (draft / CONFIG).write_text(json.dumps(config_facts(model), indent=1) + "\n", encoding="utf-8")
        if reader is not None:
            reader.save(draft)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.replace(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _check_masks(masks: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    for name, mask in masks.items():
        if tuple(mask.shape) != shapes.get(name):
            raise ModelError(
                f"{path} holds a mask of shape {tuple(mask.shape)} for {short(name)}, but the weights beside it have "
                f"{shapes.get(name, 'no such tensor')}.",
                "Put the masks there that belong to these weights, or remove the file.",
            )


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
