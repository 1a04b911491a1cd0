"""The quantization methods in words for the screen. Pure; knows no widgets."""

from core.run.exchange import PLAIN
from core.spec.quantizers import METHODS

from .plain import plain

TITLES = {
    "fp32": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
    "dynamic-int8": "dynamic INT8",
    "int8-weight": "INT8 weight-only",
    "int8-w8a8": "INT8 W8A8",
    "llm-int8": "LLM.int8",
}
"""Method -> its name on the screen; one for each of `METHODS`."""


def titled(label: str, method: str) -> str:
    """A model's name with its method; a model that is as its folder has it stands alone."""
    return label if method in ("", PLAIN) else f"{label} · {TITLES.get(method, plain(method, 20))}"


def does(method: str) -> str:
    """What a method does, one sentence."""
    return METHODS[method].does


def problems_of(saved_as: str, known: dict[str, str] | None) -> dict[str, str]:
    """Method -> why it cannot be had for a model; only those that cannot.

    Args:
        saved_as: The method that the model's folder was quantized with; "" where it was not.
        known: What does not work on this device; None while nobody has found out.
    """
    if saved_as:
        why = f"its folder holds it quantized already ({TITLES.get(saved_as, plain(saved_as, 20))})"
        return {method: why for method in METHODS if method != PLAIN}
    return {method: problem for method, problem in (known or {}).items() if problem and method in METHODS}
