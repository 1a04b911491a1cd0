"""The quantizers in words for the screen. Pure; knows no widgets."""

from core.run.exchange import PLAIN
from core.spec.quantizers import METHODS

from .plain import plain

BETWEEN = " · "
"""Between a model's name and its quantizer, whichever stands first."""


def title(method: str) -> str:
    """A quantizer's name on the screen; a name that this version does not know is made safe to show."""
    return METHODS[method].title if method in METHODS else plain(method, 20)


def titled(label: str, method: str) -> str:
    """A model's name with its quantizer; without one, the model's name alone."""
    return label if method in ("", PLAIN) else f"{label}{BETWEEN}{title(method)}"


def does(method: str) -> str:
    """What a quantizer does, in one sentence."""
    return METHODS[method].does


def problems_of(saved_as: str, known: dict[str, str] | None) -> dict[str, str]:
    """Quantizer -> why it cannot be chosen for a model; only those that cannot.

    Args:
        saved_as: The quantizer of the model's folder; "" if it was not quantized.
        known: Quantizers that do not work on this device; None while that is not known.
    """
    if saved_as:
        why = f"its folder holds it quantized already ({title(saved_as)})"
        return {method: why for method in METHODS if method != PLAIN}
    return {method: problem for method, problem in (known or {}).items() if problem and method in METHODS}
