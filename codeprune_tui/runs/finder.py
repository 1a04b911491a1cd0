"""Looks something up in a thread, one look at a time, and remembers the newest: disks may be slow, and keys must not wait.

It does not know what is looked up.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Finder(Generic[Answer]):
    """Looks in a thread of its own.

    Args:
        look: Answers a key; called in that thread.
        publish: Called, from that thread, when the answer is another than the one before.
    """

    def __init__(self, look: Callable[..., Answer], publish: Callable[[], object]) -> None:
        self._look_up, self._publish = look, publish
        self._known: tuple[tuple[Hashable, ...], Answer] | None = None
        self._stale = self._looking = False

    def ask(self, *key: Hashable) -> Answer | None:
        """The answer to a key, or None while it is looked up.

        Args:
            key: What `look` is called with.
        """
        known = self._known  # once: the thread may replace it
        fits = known is not None and known[0] == key
        if (self._stale or not fits) and not self._looking:
            self._looking, self._stale = True, False
            # A thread, not one of Textual's workers: the app waits for those when it ends, and disks may be slow.
            threading.Thread(target=self._look, args=key, name="finder", daemon=True).start()
        return known[1] if known is not None and fits else None

    def forget(self) -> None:
        """Makes the next call look again; the old answer is returned meanwhile."""
        self._stale = True

    def _look(self, *key: Hashable) -> None:
        answer = (key, self._look_up(*key))
        news, self._known, self._looking = answer != self._known, answer, False
        if news:
            self._publish()
