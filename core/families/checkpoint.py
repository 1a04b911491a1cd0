"""Checkpoints of this family: entries of their configuration, names of their tensors, and parts that some of them lack.

Follows RoBERTa's and CodeXGLUE's names. Finding and reading files is `weightfiles`' business; here tensors are checked against
the sizes of a configuration, and a model is assembled around them.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..regularfile import size_words
from ..spec.checkpoint_files import CONFIG
from ..spec.configfields import LISTS, check_fields, short
from .config import BOS, EOS, PAD, CodeToTextConfig
from .decoder import Decoder
from .encoder import ACTIVATIONS
from .memory import available_bytes
from .roberta import CodeToText, outline
from .weightfiles import NO_WEIGHTS, read_json

ENCODER_FIELDS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size", "initializer_range",
    "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
"""Entries taken over from a RoBERTa configuration; the others (generation, versions) mean nothing here."""

DECODER_FIELDS = ("decoder_layers", "decoder_heads", "decoder_ffn", "decoder_dropout", "pretrained_only")
"""Entries that our own configuration adds."""

LAYER_FIELDS = tuple(LISTS)
"""Entries that it adds where layers differ."""

UNNEEDED = re.compile(
    r"lm_head\.(?:bias|(?:dense|layer_norm|decoder)\.(?:weight|bias))"  # guesses masked words: RobertaForMaskedLM
    r"|classifier\.(?:(?:dense|out_proj)\.)?(?:weight|bias)"  # sorts texts or tokens: RobertaFor...Classification
    r"|qa_outputs\.(?:weight|bias)"  # finds answers: RobertaForQuestionAnswering
)
"""Heads of other tasks that a bare encoder may come with; the decoder takes their place on top of it."""

TIED, WORDS = "lm_head.weight", "encoder.embeddings.word_embeddings.weight"
"""The output layer and the embeddings whose tensor it shares."""
ENCODER, _DECODER, _POOLER = "encoder.", "decoder.layers.", "encoder.pooler."


def config_facts(model: CodeToText) -> dict[str, object]:
    """The entries of a `config.json` that describe a model's architecture."""
    facts: dict[str, object] = {"model_type": CodeToTextConfig.model_type, "architectures": [type(model).__name__]}
    facts |= {name: getattr(model.config, name) for name in (*ENCODER_FIELDS, *DECODER_FIELDS)}
    return facts | {name: value for name in LAYER_FIELDS if (value := getattr(model.config, name)) is not None}


def read_config(path: Path) -> dict[str, object]:
    """Reads the entries of a `config.json` that matter here, and checks that it is a RoBERTa's.

    Raises:
        ModelError: It belongs to another kind of model, or has other special tokens or an impossible entry.
    """
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


def make_config(facts: Mapping[str, object], path: Path) -> CodeToTextConfig:
    """The configuration with every default filled in, checked against its limits.

    Raises:
        ModelError: An entry is beyond its limits, or the decoder's heads do not fit.
    """
    config = CodeToTextConfig(**facts)  # type: ignore[arg-type]  # `check_fields` has looked at their types
    check_fields(asdict(config), path)
    if config.hidden_size % config.full_decoder_heads:
        raise ModelError(
            f"{path} asks for {config.decoder_heads} decoder heads in a width of {config.hidden_size}, which they do not divide.",
            "Correct decoder_heads.",
        )
    return config


def has_decoder(names: Iterable[str]) -> bool:
    """Whether tensors of these names hold a decoder."""
    return any(name.startswith(_DECODER) for name in names)


def decoder_shape(weights: Mapping[str, Tensor], facts: Mapping[str, object], path: Path) -> dict[str, object]:
    """Depth and width of the decoder as its tensors show them, whatever the configuration says; depth alone where layers differ.

    Args:
        weights: The checkpoint's tensors.
        facts: The entries of its configuration.
        path: The checkpoint, for errors.

    Raises:
        ModelError: The decoder is not whole.
    """
    layers = {name.removeprefix(_DECODER).split(".")[0] for name in weights if name.startswith(_DECODER)}
    inner = weights.get(f"{_DECODER}0.linear1.weight")
    missing = next((number for number in range(len(layers)) if str(number) not in layers), None)
    if inner is None or missing is not None or inner.dim() != 2:
        lacks = f"{_DECODER}{missing}" if missing else f"{_DECODER}0.linear1.weight"
        raise ModelError(f"{path} lacks {lacks}: its decoder is not whole.", "Save the checkpoint again.")
    depth: dict[str, object] = {"decoder_layers": len(layers)}
    return depth if facts.get("decoder_neurons_by_layer") is not None else {**depth, "decoder_ffn": inner.shape[0]}


def check_depths(facts: Mapping[str, object], names: Iterable[str], path: Path, *, encoder_only: bool = False) -> None:
    """Refuses a configuration with more layers than the file has tensors, because laying out a million layers would take hours.

    Raises:
        ModelError: The configuration has more layers.
    """
    count = len(list(names))
    for field in ("num_hidden_layers",) if encoder_only else ("num_hidden_layers", "decoder_layers"):
        layers = facts.get(field, getattr(CodeToTextConfig, field, 0))
        if isinstance(layers, int) and layers > count:
            raise ModelError(
                f"{path.parent / CONFIG} asks for {field} = {layers:,}, but {path.name} holds {count} tensors in all.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )


def encoder_only(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The encoder under our names, without the heads of other tasks.

    Raises:
        ModelError: The checkpoint holds other tensors too.
    """
    prefix, encoder = check_encoder_only(weights, path)
    return {f"encoder.{name.removeprefix(prefix)}": tensor for name, tensor in weights.items() if name.startswith(encoder)}


def check_encoder_only(names: Collection[str], path: Path) -> tuple[str, tuple[str, ...]]:
    """Refuses a checkpoint that holds more than an encoder and heads of other tasks.

    Returns:
        The prefix before the names of the encoder, and how these begin.

    Raises:
        ModelError: The checkpoint holds more.
    """
    prefix = next((p for p in ("encoder.", "roberta.") if f"{p}embeddings.word_embeddings.weight" in names), "")
    encoder = tuple(f"{prefix}{part}" for part in ("embeddings.", "encoder.", "pooler."))
    unneeded = (UNNEEDED, NO_WEIGHTS)
    other = sorted(name for name in names if not name.startswith(encoder) and not any(p.fullmatch(name) for p in unneeded))
    if other:
        raise ModelError(
            f"{path} holds an encoder, and {_tensors(len(other))} that nothing here uses: {_first(other)}.",
            "A decoder of another architecture cannot be used, and dropping it would lose what it learned. Give a checkpoint of "
            f"CodeXGLUE's architecture (names begin with {_DECODER}), or save the encoder by itself.",
        )
    return prefix, encoder


def fresh_parts(config: CodeToTextConfig, encoder: Mapping[str, Tensor], path: Path, seed: int) -> dict[str, Tensor]:
    """Makes the parts that a bare encoder lacks: decoder, `dense`, and a pooler, which checkpoints for masked words lack too.

    Raises:
        ModelError: The encoder is not the one that the configuration describes, or there is no memory for so wide a decoder.
    """
    shapes = {name: tensor.shape for name, tensor in outline(config).state_dict().items() if name != TIED}
    given = {name: shape for name, shape in shapes.items() if name.startswith("encoder.") and not name.startswith(_POOLER)}
    pooler = {name: shape for name, shape in shapes.items() if name.startswith(_POOLER)}
    _check_tensors(given | (pooler if any(name.startswith(_POOLER) for name in encoder) else {}), encoder, path)
    needed, free = 4 * sum(shape.numel() for name, shape in shapes.items() if name not in given), available_bytes()
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


def assemble(config: CodeToTextConfig, weights: dict[str, Tensor], path: Path) -> CodeToText:
    """Assembles a model around these tensors; nothing is drawn at random first, and nothing is copied.

    Raises:
        ModelError: The tensors are not those that the configuration asks for.
    """
    model = outline(config)
    tied = weights.pop(TIED, None)
    if tied is not None and WORDS in weights and not torch.equal(tied, weights[WORDS]):
        raise ModelError(
            f"In {path} {TIED} differs from {WORDS}, but in this architecture they are one tensor.",
            f"Remove {TIED} from the checkpoint if the embeddings are the ones to keep.",
        )
    _check_tensors({name: tensor.shape for name, tensor in model.state_dict().items() if name != TIED}, weights, path)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie()
    model.eval()
    return model


def _check_tensors(shapes: Mapping[str, torch.Size], given: Mapping[str, Tensor], path: Path) -> None:
    """Raises ModelError unless exactly the expected tensors are given, in the expected shapes."""
    problems = (
        (shapes.keys() - given.keys(), "lacks {} of this architecture"),
        (given.keys() - shapes.keys(), "holds {} that this architecture does not have"),
    )
    for names, problem in problems:
        if names:
            raise ModelError(
                f"{path} {problem.format(_tensors(len(names)))}: {_first(sorted(names))}.",
                f"Check that {CONFIG} belongs to these weights and that they are a RoBERTa or CodeXGLUE code-to-text checkpoint.",
            )
    for name, tensor in given.items():
        if tensor.shape != shapes[name]:
            raise ModelError(
                f"In {path} {name} has the shape {tuple(tensor.shape)}, but {CONFIG} asks for {tuple(shapes[name])}.",
                f"Put the {CONFIG} that belongs to these weights beside them.",
            )


def _tensors(number: int) -> str:
    return f"{number:,} tensor{'' if number == 1 else 's'}"


def _first(names: list[str]) -> str:
    """The first names of a list, for the text of an error."""
    return ", ".join(name if len(name) < 100 else short(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
