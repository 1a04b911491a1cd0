"""The newest requests to the playground's process, and the replies that still belong to them. Pure; sends nothing.

Every request has a number of its own. A newer text makes replies about an older one void, and so does a newer question.
"""

from collections.abc import Sequence

from core.recipe import Evaluation
from core.run.exchange import (
    MOST_CHARACTERS,
    Abilities,
    Comment,
    Commented,
    Done,
    MethodsFound,
    ModelFailed,
    Read,
    Variant,
    Writing,
)

MOST_ALTERNATIVES = 5


class Conversation:
    """The newest requests of each kind."""

    def __init__(self) -> None:
        self.reading = -1
        """Number of the newest text; −1 before the first."""
        self.sent = ""
        """That text, whole."""
        self._commenting = -1
        self._number = 0

    def read(self, text: str) -> Read:
        """The request to find the methods of a text; only the part that would be read is sent."""
        self.reading, self.sent = self._next(), text
        source = text[:MOST_CHARACTERS]
        return Read(id=self.reading, source=source, cut=len(text) - len(source))

    def comment(self, method: int, models: Sequence[Variant], beam: int) -> Comment:
        """The request to comment a method of the newest text."""
        self._commenting, n_best = self._next(), min(beam, MOST_ALTERNATIVES)
        longest = Evaluation().max_length
        return Comment(
            id=self._commenting,
            reading=self.reading,
            method=method,
            models=list(models),
            beam=beam,
            max_length=longest,
            n_best=n_best,
        )

    def abilities(self) -> Abilities:
        """The request to find out what the device can do."""
        return Abilities(id=self._next())

    def is_about(self, reply: MethodsFound | Writing | Commented | ModelFailed | Done, text: str) -> bool:
        """Whether a reply is to the newest request of its kind.

        Args:
            reply: The reply.
            text: The text as it is now; the methods of another one are void.
        """
        if isinstance(reply, MethodsFound):
            return reply.id == self.reading and text == self.sent
        return reply.id == self._commenting

    def _next(self) -> int:
        self._number += 1
        return self._number
