"""The quantization methods in words for the screen. Pure; knows no widgets."""

from core.run.exchange import PLAIN
from core.spec.quantizers import METHODS

from .plain import plain


def title(method: str) -> str:
    """A method's name on the screen; one that this version does not know is safe to show."""
    return METHODS[method].title if method in METHODS else plain(method, 20)


def titled(label: str, method: str) -> str:
    """A model's name with its method; a model that is as its folder has it stands alone."""
    return label if method in ("", PLAIN) else f"{label} · {title(method)}"


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
        why = f"its folder holds it quantized already ({title(saved_as)})"
        return {method: why for method in METHODS if method != PLAIN}
    return {method: problem for method, problem in (known or {}).items() if problem and method in METHODS}
