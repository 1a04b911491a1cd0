"""A model as CodeXGLUE's code-to-text code loads it: `pytorch_model.bin` with exactly the tensors that its `Seq2Seq` needs.

That code always makes a decoder of 6 layers with 2,048 neurons each and as many heads as the encoder has; where ours differs,
`changes` says what to change there. Pruned weights are zeros, or with `masks` stand under the names of `torch.nn.utils.prune`,
which that code can hold while it trains on (`hold_pruned.py` beside the weights).
Source: CodeXGLUE, Code-Text/code-to-text (`Seq2Seq`, `run.py --load_model_path`).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import complete_or_absent
from ..errors import ModelError
from ..families.checkpoint import ENCODER_FIELDS
from ..families.config import CodeToTextConfig
from ..families.reader import SPLIT_IDENTIFIERS, Reader
from ..families.roberta import CodeToText
from ..model import load_masks, load_model, load_reader
from ..spec.checkpoint_files import CONFIG, WEIGHTS

BIAS = 2048
"""Rows and columns of the causal triangle that `Seq2Seq` registers as `bias`."""
DECODER_LAYERS, DECODER_FFN = 6, 2048
"""The decoder that `run.py` makes, by its own numbers and torch's defaults."""
NOTE, HELPER = "CODEXGLUE.md", "hold_pruned.py"

HELD = '''"""Loads a checkpoint with `_orig` and `_mask` tensors into CodeXGLUE's Seq2Seq; pruned weights stay 0 while it trains.

In run.py, put `from hold_pruned import load_held` on top; in place of model.load_state_dict(torch.load(args.load_model_path)) put
    load_held(model, args.load_model_path)
"""

import torch
from torch.nn.utils import prune


def load_held(model, path):
    """Strict: every tensor of the file has its place in the model, and the other way round."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    held = [name[: -len("_mask")].rpartition(".") for name in state if name.endswith("_mask")]
    for module, _, parameter in held:
        prune.identity(model.get_submodule(module), parameter)
    model.load_state_dict(state)

    def refresh(*_):
        # nn.MultiheadAttention reads out_proj.weight without calling out_proj, so prune's own hooks would miss it.
        for module, _, parameter in held:
            owner = model.get_submodule(module)
            setattr(owner, parameter, getattr(owner, parameter + "_orig") * getattr(owner, parameter + "_mask"))

    refresh()
    model.register_forward_pre_hook(refresh)
'''


def export_codexglue(source: str | Path, folder: Path, *, masks: bool = False) -> list[str]:
    """Writes a folder for `run.py --model_name_or_path FOLDER --load_model_path FOLDER/pytorch_model.bin`.

    Args:
        source: Folder or hub name of a model.
        folder: Must not exist.
        masks: Whether to write pruned matrices as `<name>_orig` and `<name>_mask`, as `torch.nn.utils.prune` does.

    Returns:
        The changes that CodeXGLUE's code needs, a line each; [] where it needs none.

    Raises:
        ModelError: The model cannot be loaded, is quantized, has layers that differ, or the folder exists.
    """
    model = load_model(source)
    if model.config.quantization is not None:
        raise ModelError(
            f"{source} is quantized ({model.config.quantization}), which CodeXGLUE's code cannot read.",
            "Give the model it came from.",
        )
    if model.config.is_uneven:
        raise ModelError(
            f"The layers of {source} differ in heads or neurons, which CodeXGLUE's code cannot express.",
            "Give a model from before its heads or neurons were removed.",
        )
    refuse_existing(folder)
    reader, kept = load_reader(source), load_masks(source)
    tensors = _masked(_state(model), kept) if masks else _state(model)
    changed = changes(model.config, reader)
    with complete_or_absent(folder) as draft:
        draft.mkdir(parents=True)
        torch.save(tensors, draft / WEIGHTS[1])
        (draft / CONFIG).write_text(json.dumps(_config(model), indent=1) + "\n", encoding="utf-8")
        reader.save(draft)
        reader.tokenizer.model.save(str(draft))  # vocab.json and merges.txt, which their tokenizer reads
        if masks:
            (draft / HELPER).write_text(HELD, encoding="utf-8")
        (draft / NOTE).write_text(_note(changed, held=masks and bool(kept)), encoding="utf-8")
    return changed


def changes(config: CodeToTextConfig, reader: Reader) -> list[str]:
    """The changes with which CodeXGLUE's code loads, reads and computes a model of these sizes in the same way."""
    needed, heads = [], config.full_decoder_heads
    if config.decoder_ffn != DECODER_FFN:
        needed.append(f"run.py: dim_feedforward={config.decoder_ffn} as a further argument of nn.TransformerDecoderLayer.")
    if heads != config.num_attention_heads:
        needed.append(f"run.py: nhead={heads} in nn.TransformerDecoderLayer; the encoder has {config.num_attention_heads} heads.")
    if config.decoder_layers != DECODER_LAYERS:
        needed.append(f"run.py: num_layers={config.decoder_layers} in nn.TransformerDecoder.")
    if json.loads(reader.tokenizer.to_str())["model"]["type"] != "BPE":
        needed.append("run.py: transformers.PreTrainedTokenizerFast as the tokenizer; this model's is no byte-level BPE.")
    if SPLIT_IDENTIFIERS in reader.steps:
        needed.append("run.py: the model reads core.ruby.split_identifiers(code): identifiers split into lower-case words.")
    return needed


def refuse_existing(folder: Path) -> None:
    """Refuses a folder that exists already.

    Raises:
        ModelError: The folder exists.
    """
    if folder.exists() or folder.is_symlink():
        raise ModelError(f"{folder} exists.", "Choose another name, or move what is there.")


def _state(model: CodeToText) -> dict[str, Tensor]:
    """Every tensor of `Seq2Seq`, the output layer sharing memory with the embeddings as it does there."""
    return {"bias": torch.ones(BIAS, BIAS).tril(), **{name: tensor.detach() for name, tensor in model.state_dict().items()}}


def _masked(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pruned matrices as pairs; at pruned places `_orig` holds the 0 that is left there."""
    pairs = {f"{name}_orig": tensors[name] for name in masks} | {f"{name}_mask": mask.float() for name, mask in masks.items()}
    return {name: tensor for name, tensor in tensors.items() if name not in masks} | pairs


def _config(model: CodeToText) -> dict[str, object]:
    """RoBERTa's entries, and the one that `Seq2Seq` asks for and transformers 5 no longer has."""
    facts: dict[str, object] = {"model_type": "roberta", "architectures": ["RobertaModel"], "torchscript": False}
    return facts | {name: getattr(model.config, name) for name in ENCODER_FIELDS}


def _note(changed: list[str], *, held: bool) -> str:
    lines = [
        "# For CodeXGLUE's code-to-text code",
        "",
        "In `Code-Text/code-to-text/code`, with FOLDER the folder of this file:",
        "",
    ]
    lines += ["```", "python run.py --do_train --do_eval --model_type roberta --model_name_or_path FOLDER \\"]
    lines += [
        "  --load_model_path FOLDER/pytorch_model.bin --train_filename train.jsonl --dev_filename valid.jsonl --output_dir OUT",
        "```",
    ]
    lines += [
        "",
        "Every tensor that `Seq2Seq` wants on a strict load is there, with transformers 4.31 and later; earlier ones also want",
    ]
    lines += ["`encoder.embeddings.position_ids`: `torch.arange(config.max_position_embeddings)[None]`."]
    lines += [
        "",
        "transformers 5 has no `AdamW`: in `run.py` import it from `torch.optim`. It also reports every tensor of the encoder as",
        "missing when it opens FOLDER, where all have the names of `Seq2Seq`; `--load_model_path` then fills each of them.",
    ]
    if changed:
        lines += ["", "To be changed there first:", "", *(f"- {text}" for text in changed)]
    if held:
        lines += ["", f"Pruned matrices stand as `_orig` and `_mask`: `{HELPER}` loads them and keeps pruned weights at 0."]
    else:
        lines += [
            "",
            "Pruned weights, if there are any, are zeros, and training there changes them; export with `--masks` to keep them.",
        ]
    return "\n".join([*lines, ""])
