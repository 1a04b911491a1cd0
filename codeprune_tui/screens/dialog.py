"""What all dialogs have in common: each is answered once."""

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A dialog; its first answer counts."""

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answers and closes; once it is closed or another screen is in front of it, nothing.

        The second click of a double click may still wait when the first has closed the dialog, and Textual would then close
        the screen below.

        Args:
            result: The answer.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()
