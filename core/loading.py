"""Makes a model or tokenizer of the files found, and saves our own.

Four kinds of checkpoints are read: our folder (`config.json`, `model.safetensors`, tokenizer); CodeXGLUE's (`pytorch_model.bin`
beside a RoBERTa `config.json`); the same pruned by the paper; and a bare RoBERTa encoder, which gets a fresh decoder.

Knows nothing of training, decoding or the screen, and leaves finding and reading files to `weightfiles`. transformers' own
`from_pretrained` is not used: it draws progress bars and warns of names it does not know.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .errors import ModelError
from .files import TEMPORARY, complete_or_absent
from .masks import load_masks as read_masks
from .model import BOS, EOS, PAD, CodeToText, CodeToTextConfig, Decoder
from .modelfiles import CONFIG, WEIGHTS
from .quantfiles import load_quantized, save_quantized
from .weightfiles import find_tokenizer, find_weights, plain_names, read_json, read_names, read_tensors, unpack

ENCODER_FIELDS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size", "initializer_range",
    "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
"""What is taken over from a RoBERTa configuration; the rest (generation, versions) means nothing here."""

DECODER_FIELDS = ("decoder_layers", "decoder_heads", "decoder_ffn", "decoder_dropout", "split_identifiers", "pretrained_only")
"""What our own configuration adds."""

SPECIAL_TOKENS = {"bos": ("<s>", BOS), "pad": ("<pad>", PAD), "eos": ("</s>", EOS)}
"""RoBERTa's special tokens and the ids that model, data and beam search rely on."""

MASKS = "masks.safetensors"
"""Lies beside the weights in every round of a run."""
OWN_FILES = {CONFIG, "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
"""What `save_model` writes; a folder with anything else in it is not replaced."""

_TIED, _EMBEDDINGS = "lm_head.weight", "encoder.embeddings.word_embeddings.weight"
_DECODER = "decoder.layers."


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
        return load_quantized(read_tensors(path), _make_config(facts, path.parent / CONFIG), path, _assemble)
    weights, _ = unpack(read_tensors(path), path)
    finetuned = _has_decoder(weights)
    facts |= _decoder_shape(weights, path) if finetuned else {"decoder_layers": decoder_layers}
    config = _make_config(facts, path.parent / CONFIG)
    if not finetuned:
        weights = _fresh_parts(config, seed) | _encoder_only(weights)
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
    return not pretrained_only and _has_decoder(plain_names(read_names(path)).values())


def load_masks(source: str | Path) -> dict[str, Tensor]:
    """The masks that a model was pruned with: those beside it in a round of a run, or inside a pruned checkpoint of the paper.

    Args:
        source: As for `load_model`.

    Returns:
        Parameter name -> bool tensor, True = kept; only matrices of which something is pruned, so {} for a dense model.

    Raises:
        ModelError: As for `load_model`.
    """
    path = find_weights(source)
    beside = path.parent / MASKS
    masks = read_masks(beside) if beside.exists() else unpack(read_tensors(path), path)[1]
    return {name: mask for name, mask in masks.items() if not bool(mask.all())}


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer that lies with a model.

    Args:
        source: Folder with `tokenizer.json`, or with RoBERTa's `vocab.json` and `merges.txt`; or a hub name.

    Returns:
        A byte-level BPE tokenizer with `<s>` = 0, `<pad>` = 1, `</s>` = 2.

    Raises:
        ModelError: There is none, it is damaged, has other special tokens, or more entries than the model has embeddings.
    """
    folder = find_tokenizer(source)
    try:
        backend = _read_tokenizer(folder)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(f"The tokenizer in {folder} cannot be read: {error}.", "Copy its files again.") from error
    for token, number in SPECIAL_TOKENS.values():
        if backend.token_to_id(token) != number:
            raise ModelError(
                f"The tokenizer in {folder} gives {token} the id {backend.token_to_id(token)}, but RoBERTa models need {number}.",
                "Use a tokenizer in RoBERTa's layout: <s> = 0, <pad> = 1, </s> = 2.",
            )
    _check_vocabulary(backend, folder)
    names: dict[str, object] = {f"{role}_token": token for role, (token, _) in SPECIAL_TOKENS.items()}
    names |= {"cls_token": "<s>", "sep_token": "</s>"}
    if backend.token_to_id("<unk>") is not None:  # naming a token that is not there would add one
        names["unk_token"] = "<unk>"
    if backend.token_to_id("<mask>") is not None:
        names["mask_token"] = AddedToken("<mask>", lstrip=True, normalized=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **names)


def save_model(
    model: CodeToText, tokenizer: PreTrainedTokenizerBase | None, folder: str | Path, half: bool = False, decoder: bool = True
) -> None:
    """Write a model folder, complete or absent.

    Args:
        model: On any device.
        tokenizer: Saved beside it, or None.
        folder: A new folder, or an earlier model folder, which is replaced.
        half: Write float16, half the size; `load_model` gives float32 again.
        decoder: False leaves out all but the encoder: the file then counts as a pre-trained encoder, not as fine-tuned.

    Raises:
        ModelError: The folder exists and holds something other than a model.
    """
    folder = Path(folder)
    if model.config.quantization is not None:
        assert tokenizer is not None
        save_quantized(model, tokenizer, folder, _facts(model))
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
        (draft / CONFIG).write_text(json.dumps(_facts(model), indent=1) + "\n", encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save_pretrained(draft)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.replace(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _facts(model: CodeToText) -> dict[str, object]:
    """The entries of a `config.json` that describe a model's architecture."""
    facts: dict[str, object] = {"model_type": CodeToTextConfig.model_type, "architectures": [type(model).__name__]}
    return facts | {name: getattr(model.config, name) for name in (*ENCODER_FIELDS, *DECODER_FIELDS)}


def _read_config(path: Path) -> dict[str, object]:
    """The entries of a `config.json` that matter here, known to be a RoBERTa's."""
    facts = read_json(path)
    kind = facts.get("model_type", "roberta")
    if kind not in ("roberta", CodeToTextConfig.model_type):
        raise ModelError(
            f"{path} describes a model of type {kind!r}, but only RoBERTa encoders and this project's own models can be loaded.",
            "Choose CodeBERT, GraphCodeBERT, UniXcoder, another RoBERTa, or a model folder written by codeprune-tui.",
        )
    for role, (token, number) in SPECIAL_TOKENS.items():
        given = facts.get(f"{role}_token_id", number)
        if given != number:
            raise ModelError(
                f"{path} gives {token} the id {given}, but RoBERTa models need {number}.",
                "Use a model and tokenizer in RoBERTa's layout: <s> = 0, <pad> = 1, </s> = 2.",
            )
    return {name: facts[name] for name in (*ENCODER_FIELDS, *DECODER_FIELDS, "quantization") if name in facts}


def _make_config(facts: Mapping[str, object], path: Path) -> CodeToTextConfig:
    """The configuration, attention by SDPA."""
    try:
        config = CodeToTextConfig(**facts)
    except (StrictDataclassError, TypeError, ValueError) as error:
        detail = str(error).splitlines()[-1].strip()
        raise ModelError(
            f"{path} holds an entry that cannot be used: {detail}.", "Correct it, or copy the file again."
        ) from error
    if config.hidden_size % config.num_attention_heads:
        raise ModelError(
            f"{path} asks for {config.num_attention_heads} heads in a width of {config.hidden_size}, which they do not divide.",
            "Correct hidden_size or num_attention_heads.",
        )
    return config


def _has_decoder(names: Iterable[str]) -> bool:
    return any(name.startswith(_DECODER) for name in names)


def _decoder_shape(weights: Mapping[str, Tensor], path: Path) -> dict[str, object]:
    """Depth and width as the checkpoint has them, whatever its configuration says."""
    layers = {int(name.removeprefix(_DECODER).split(".")[0]) for name in weights if name.startswith(_DECODER)}
    inner = weights.get(f"{_DECODER}0.linear1.weight")
    if inner is None:
        raise ModelError(f"{path} lacks {_DECODER}0.linear1.weight: its decoder is not whole.", "Save the checkpoint again.")
    return {"decoder_layers": max(layers) + 1, "decoder_ffn": inner.shape[0]}


def _encoder_only(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder under our names, without the heads of other tasks."""
    prefix = next((p for p in ("encoder.", "roberta.") if f"{p}embeddings.word_embeddings.weight" in weights), "")
    body = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {f"encoder.{name}": tensor for name, tensor in body.items() if name.startswith(("embeddings.", "encoder.", "pooler."))}


def _fresh_parts(config: CodeToTextConfig, seed: int) -> dict[str, Tensor]:
    """Everything a bare encoder lacks: decoder, `dense`, and a pooler, which checkpoints for masked words do without."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs too
        parts = nn.ModuleDict({"decoder": Decoder(config), "dense": nn.Linear(config.hidden_size, config.hidden_size)})
        pooler = torch.empty(config.hidden_size, config.hidden_size).normal_(0.0, config.initializer_range)
    fresh: dict[str, Tensor] = {name: tensor.detach() for name, tensor in parts.state_dict().items()}
    return fresh | {"encoder.pooler.dense.weight": pooler, "encoder.pooler.dense.bias": torch.zeros(config.hidden_size)}


def _assemble(config: CodeToTextConfig, weights: dict[str, Tensor], path: Path) -> CodeToText:
    """The model around these very tensors: nothing is drawn at random first, and nothing copied."""
    with torch.device("meta"):
        model = CodeToText(config)
    tied = weights.pop(_TIED, None)
    if tied is not None and _EMBEDDINGS in weights and not torch.equal(tied, weights[_EMBEDDINGS]):
        raise ModelError(
            f"In {path} {_TIED} differs from {_EMBEDDINGS}, but in this architecture they are one tensor.",
            f"Remove {_TIED} from the checkpoint if the embeddings are the ones to keep.",
        )
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items() if name != _TIED}
    _check_names(wanted, weights, path)
    for name, tensor in weights.items():
        if tensor.shape != wanted[name]:
            raise ModelError(
                f"In {path} {name} has the shape {tuple(tensor.shape)}, but {CONFIG} asks for {tuple(wanted[name])}.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )
    model.load_state_dict(weights, strict=False, assign=True)
    model.lm_head.weight = model.encoder.embeddings.word_embeddings.weight
    embeddings = model.encoder.embeddings  # its buffers are in no checkpoint
    embeddings.position_ids = torch.arange(config.max_position_embeddings).expand((1, -1))
    embeddings.token_type_ids = torch.zeros(embeddings.position_ids.shape, dtype=torch.long)
    model.eval()
    return model


def _check_names(wanted: Mapping[str, object], given: Mapping[str, object], path: Path) -> None:
    """Raise ModelError unless the same tensors are given as wanted."""
    problems = (
        (wanted.keys() - given.keys(), "lacks {} tensors of this architecture"),
        (given.keys() - wanted.keys(), "holds {} tensors that this architecture does not have"),
    )
    for names, problem in problems:
        if names:
            first = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise ModelError(
                f"{path} {problem.format(len(names))}: {first}.",
                f"Check that {CONFIG} belongs to these weights and that they are a RoBERTa or CodeXGLUE code-to-text checkpoint.",
            )


def _read_tokenizer(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    bpe = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    backend = Tokenizer(bpe)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", EOS), ("<s>", BOS), add_prefix_space=False)
    present = [token for token in ("<s>", "<pad>", "</s>", "<unk>") if bpe.token_to_id(token) is not None]
    backend.add_special_tokens(present)
    return backend


def _check_vocabulary(backend: Tokenizer, folder: Path) -> None:
    if not (folder / CONFIG).exists():
        return
    entries, embeddings = backend.get_vocab_size(with_added_tokens=True), read_json(folder / CONFIG).get("vocab_size")
    if isinstance(embeddings, int) and entries > embeddings:
        raise ModelError(
            f"The tokenizer in {folder} has {entries} entries, but the model only {embeddings} embeddings.",
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
