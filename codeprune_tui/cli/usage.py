"""Says in this program's words what is wrong with an option's value; typer passes on pydantic's."""

import re

import typer
from typer.core import TyperGroup

WORDS = (
    (r"^Value error, ", ""),
    (r"^Input should be greater than or equal to (\S+)$", r"it must be at least \1"),
    (r"^Input should be less than or equal to (\S+)$", r"it must be at most \1"),
    (r"^Input should be a valid integer\b.*", "it must be a whole number"),
    (r"^Input should be a valid number\b.*", "it must be a number"),
)
"""What pydantic says -> what is said here."""


class Commands(TyperGroup):
    """The commands, with errors of usage in this program's words."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own type of a context
        """Runs a command.

        Args:
            ctx: What typer knows of the call.

        Returns:
            What the command returns.

        Raises:
            typer.BadParameter: An option's value is not allowed.
        """
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = in_words(error.message)
            raise


def in_words(message: str) -> str:
    """A message of pydantic's in this program's words; any other one as it is.

    Args:
        message: Of an error of usage.
    """
    for pattern, words in WORDS:
        message = re.sub(pattern, words, message)
    return message
