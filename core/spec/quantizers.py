"""The names of the quantization methods, in the order of the ladder, and what each one does to a model.

Torch-free, so that the command line can list them at once; `core.compress.quantize` has a function for each.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One way to make a model smaller by writing its numbers with fewer bits."""

    does: str
    """One line for tables and documents."""
    projects: bool = False
    """Whether the decoder's attention is quantized too, which takes its packed matrices apart first."""
    codes: bool = False
    """Whether it leaves 8-bit integers with scales, which a quantized model folder stores."""
    packs_bias: bool = False
    """Whether its layers hold their biases together with the integers."""
    saves: bool = True
    """Whether a quantized model folder can hold it."""


METHODS = {
    "fp32": Method("as trained: 32-bit floating point"),
    "fp16": Method("model.half(): every weight and all arithmetic in 16-bit floating point"),
    "bf16": Method("every weight and all arithmetic in bfloat16"),
    "dynamic-int8": Method(
        "torch.ao.quantization.quantize_dynamic on nn.Linear, the paper's way: weights per tensor in 8 bits, "
        "activations per tensor in 7 bits, the decoder's attention left alone",
        codes=True,
        packs_bias=True,
    ),
    "int8-weight": Method("torchao Int8WeightOnlyConfig: weights in 8 bits per output row", projects=True, codes=True),
    "int8-w8a8": Method(
        "torchao Int8DynamicActivationInt8WeightConfig: weights in 8 bits per output row, activations in 8 bits per token",
        projects=True,
        codes=True,
    ),
    "llm-int8": Method("bitsandbytes LLM.int8: as int8-w8a8, with outlier features in fp16", projects=True, saves=False),
}
"""Name -> method."""
