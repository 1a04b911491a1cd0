"""Commands to a worker: read from `commands.jsonl` and from signals, obeyed between two steps.

Knows what was asked, not how a run carries it out. What stood in the file before the worker took its lock was meant for an
earlier worker and is left alone.
"""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ..errors import CodepruneError
from .journal import LineReader

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""The signals that make a worker save a checkpoint and leave."""
STOPPED_BY_SIGNAL = 75
"""Exit code of a worker that a signal made save a checkpoint and leave: the run is to go on elsewhere (EX_TEMPFAIL)."""


class StopRequested(Exception):  # noqa: N818 - a request, no error
    """Tells the worker to save a checkpoint and end.

    Args:
        reason: Who asked to stop.
    """


class CommandError(CodepruneError):
    """A line of commands.jsonl that is no command."""


@dataclass
class Control:
    """The commands that a worker has received.

    Args:
        path: `commands.jsonl`; need not exist yet.
        offset: Byte from which on commands are meant for this worker: the file's size before it took its lock.
        taken: Called with every command read, in words.
        refused: Called with what is wrong with a line that is no command.
    """

    path: Path
    offset: int
    taken: Callable[[str], None]
    refused: Callable[[str], None]
    pausing: bool = False
    stopping: str = ""
    """Who asked to stop; empty while nobody has."""
    signalled: bool = False
    """Whether a signal asked, as a scheduler does that wants its machine back."""
    rounds_left: int | None = None
    """Number of rounds after which to pause; None without such a command."""
    _lines: LineReader = field(init=False)

    def __post_init__(self) -> None:
        self._lines = LineReader(self.path, self.offset)

    def poll(self) -> None:
        """Reads what has come since the last poll; costs one stat of a file when nothing has."""
        for line in self._lines.poll():
            try:
                self._take(json.loads(line))
            except (ValueError, RecursionError, CommandError) as error:
                self.refused(f"commands.jsonl: {error}"[:300])

    def round_ended(self) -> None:
        """Counts a round towards `pause-after`."""
        if self.rounds_left is not None:
            self.rounds_left -= 1
            if self.rounds_left <= 0:
                self.rounds_left, self.pausing = None, True

    def stop_on_signals(self) -> None:
        """Makes SIGTERM, SIGINT and SIGUSR1 commands to stop; SIGHUP never reaches a worker, which has a session of its own."""

        def note(number: int, frame: FrameType | None) -> None:
            self.stopping, self.signalled = signal.Signals(number).name, True

        for number in STOPPING:
            signal.signal(number, note)

    def _take(self, given: object) -> None:
        match given:
            case {"command": "pause"}:
                self.pausing = True
            case {"command": "resume"}:
                self.pausing, self.rounds_left = False, None
            case {"command": "stop"}:
                self.stopping = "stop"
            case {"command": "pause-after", "rounds": int(rounds)} if rounds > 0 and not isinstance(rounds, bool):
                self.pausing, self.rounds_left = False, rounds
                self.taken(f"pause-after {rounds}")
                return
            case _:
                raise CommandError(
                    f"{json.dumps(given)[:100]} is no command.",
                    "Allowed: pause, resume, stop, pause-after with rounds = 1 or more.",
                )
        assert isinstance(given, dict)
        self.taken(given["command"])
