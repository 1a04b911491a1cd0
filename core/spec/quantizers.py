"""The table of quantizers, in the order of the ladder: names, what they do to a model, and their functions.

Torch-free, so that the command line can list them at once; the functions stand in `core.compress.quantize`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One quantizer: a way to make a model smaller by storing its numbers in fewer bits."""

    title: str
    """Its name on the screen."""
    does: str
    """One line for tables and documents."""
    function: str
    """Its function in `core.compress.quantize`."""
    halves: bool = False
    """Whether every weight becomes 16-bit floating point."""
    projects: bool = False
    """Whether the decoder's attention is quantized too, which takes its packed matrices apart first."""
    codes: bool = False
    """Whether it gives integers with scales, which a quantized model folder stores."""
    bits: int = 8
    """Bits of an integer."""
    packs_bias: bool = False
    """Whether its layers hold their biases together with the integers."""
    cpu_only: bool = False
    """Whether torch has kernels for it on the CPU alone."""
    eager: bool = False
    """Whether it is meant to be compiled, and this program runs it eagerly: its times on a GPU are not its best ones."""
    by_eights: bool = False
    """Whether its kernels on a GPU take only layers whose widths are multiples of 8."""
    saves: bool = True
    """Whether a quantized model folder can hold it."""


METHODS = {
    "fp32": Method("fp32", "as trained: 32-bit floating point", "as_trained"),
    "fp16": Method("fp16", "model.half(): every weight and all arithmetic in 16-bit floating point", "float16", halves=True),
    "bf16": Method("bf16", "every weight and all arithmetic in bfloat16", "bfloat16", halves=True),
    "dynamic-int8": Method(
        "dynamic INT8",
        "torch.ao.quantization.quantize_dynamic on nn.Linear, the paper's way: weights per tensor in 8 bits, "
        "activations per tensor in 7 bits, the decoder's attention left alone",
        "dynamic_int8",
        codes=True,
        packs_bias=True,
        cpu_only=True,
    ),
    "int8-weight": Method(
        "INT8 weight-only",
        "torchao Int8WeightOnlyConfig: weights in 8 bits per output row",
        "int8_weight",
        projects=True,
        codes=True,
        eager=True,
    ),
    "int8-w8a8": Method(
        "INT8 W8A8",
        "torchao Int8DynamicActivationInt8WeightConfig: weights in 8 bits per output row, activations in 8 bits per token",
        "int8_w8a8",
        projects=True,
        codes=True,
        eager=True,
        by_eights=True,
    ),
    "int4-weight": Method(
        "INT4 weight-only",
        "torchao PrototypeInt4WeightOnlyConfig, its layout for CPUs: weights in 4 bits with a scale and a zero for each 128 "
        "columns (64 or 32 where 128 do not divide a width), the rest and all arithmetic in bfloat16",
        "int4_weight",
        projects=True,
        codes=True,
        bits=4,
        cpu_only=True,
    ),
    "llm-int8": Method(
        "LLM.int8",
        "bitsandbytes LLM.int8: as int8-w8a8, with outlier features in fp16",
        "llm_int8",
        projects=True,
        saves=False,
    ),
}
"""Name -> quantizer."""
