"""Runs Python's garbage collector at moments when nobody waits for it.

A whole collection of the app takes a seventh of a second, three times as long as a key may take to be answered, and by default
it comes in the middle of whatever allocates. Here imported objects are never looked at again, and whole collections wait until
no key has come for a while. Knows nothing of the app.
"""

import gc
import time
from collections.abc import Callable

THRESHOLDS = (2_000, 10, 1_000)
"""Objects more until the young are looked through, how often that until the middle-aged are, and that until all are: twenty
million objects, which only an app that is never quiet comes to."""
ENOUGH = 2
"""Collections of the middle generation, each of about 20,000 more objects, that make a whole one worth its time."""
QUIET_S = 3.0
"""Seconds without a key after which nobody is likely to press one in the next seventh of a second."""


class Tidying:
    """Collects garbage while nobody types.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touched = clock()

    @staticmethod
    def begin() -> None:
        """Takes over for the whole process: objects that exist by now are never looked at again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    def touched(self) -> None:
        """A key was pressed."""
        self._touched = self._clock()

    def look(self) -> bool:
        """Collects if that is worth it and nobody types; returns whether it did."""
        if gc.get_threshold() != THRESHOLDS or gc.get_count()[2] < ENOUGH or self._clock() - self._touched < QUIET_S:
            return False
        gc.collect()
        return True
