"""Opens the app, and makes sure that it always leaves cleanly.

A terminal can go away at any moment (SIGHUP, end of input), the system can ask to leave (SIGTERM): the app is gone within a
second, with the terminal restored, and the workers never notice. Knows signals and terminals, but no run.
"""

import os
import select
import signal
import sys
import termios
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import core
from core.program import program

from .terminal.defect import sentences, write_report
from .views.plain import plain
from .views.text import reopening

if TYPE_CHECKING:
    from .tui import CodepruneApp

GRACE_S = 0.7
"""Seconds after which the process ends, whatever hangs: a dead terminal blocks Textual's writer, and with it the event loop."""
FRAMES_PER_S = "120"
"""Most frames a second; a key's answer waits for the next one."""
SWITCH_S = 0.001
"""Seconds that the threads that read runs may go on while a key waits; Python's default is five times that."""
RESTORE = (
    "\x1b\\\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2048l"
    "\x1b[<u\x1b[?1049l\x1b[?25h"
)
"""Ends whatever was half written; turns bracketed paste, mouse, focus reports and keyboard protocol off and line wrap on; leaves
the alternate screen and shows the cursor."""


def run_app(checkpoints: Path, demo: bool = False, low_bandwidth: bool = False, playground_device: str = "") -> None:
    """Runs the app until the user leaves it; runs at work go on.

    Args:
        checkpoints: Folder of all runs; it need not exist yet.
        demo: Also show what came with the package.
        low_bandwidth: Spare a slow line, whatever the settings say.
        playground_device: Where the Playground computes; "" as the settings say.

    Raises:
        SystemExit: There is no terminal, or the `core` that would be used isn't ours; its text says what to do.
    """
    if getattr(core, "OWNER", None) != "codeprune-tui":
        raise SystemExit(
            f"Another package named core is in the way: {getattr(core, '__file__', None) or list(core.__path__)}. "
            "Install codeprune-tui into an environment of its own (pipx install codeprune-tui, or uv tool install codeprune-tui)."
        )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SystemExit(f"The app needs a terminal. Without one, use: {program()} status, run, pause, resume, stop.")
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_S)  # Textual looks at it once, when it is imported
    from .settings import config_path
    from .terminal.gc import Tidying
    from .terminal.input import PastingDriver
    from .tui import CodepruneApp

    Tidying.begin()
    sys.setswitchinterval(SWITCH_S)
    app = CodepruneApp(
        checkpoints, demo=demo, config=config_path(), low_bandwidth=low_bandwidth, playground_device=playground_device
    )
    app.driver_class = PastingDriver
    leaving = Leaving(app)
    leaving.install()
    threading.excepthook = partial(_tell_of_thread, app)
    try:
        app.run()
    except Exception as error:  # whatever it is, the terminal must be usable afterwards
        app.defect = error
    if app.defect is not None or app.return_code:
        leaving.restore()
        raise SystemExit(_last_words(app))
    if not leaving.began:
        _say_goodbye(app)


def _last_words(app: "CodepruneApp") -> int:
    """Says what ended the app, and returns the exit code."""
    error = app.defect
    if error is not None:
        again, _ = reopening(app.checkpoints)
        lines = sentences(error, write_report(error))
        print(f"The app has ended. {lines}\nNo run is touched by this. Open it again: {again}", file=sys.stderr)
    return 1


def _tell_of_thread(app: "CodepruneApp", failure: threading.ExceptHookArgs) -> None:
    """Says in the app that one of its threads has failed, which would otherwise just stop showing news."""
    error = failure.exc_value
    if error is not None and not isinstance(error, SystemExit):
        with suppress(RuntimeError):  # the loop is closed already
            app.say(sentences(error, write_report(error)), "error")


def _say_goodbye(app: "CodepruneApp") -> None:
    if live := app.at_work():
        again, where = reopening(app.checkpoints)
        # Each command has a line of its own: the user copies it, and a terminal breaks long lines.
        print(f"Still at work in {plain(where, 300)}: {', '.join(live)}.\nWatch again: {again}\nStop: {again} stop {live[0]}")


class Leaving:
    """Makes the app leave when the terminal or the system says so.

    Args:
        app: The app; not running yet.
    """

    def __init__(self, app: "CodepruneApp") -> None:
        self._app = app
        # The descriptors are taken now: once Textual runs, sys.stderr is its own and has none.
        self._input, self._output = sys.stdin.fileno(), sys.stderr.fileno()
        self._terminal = termios.tcgetattr(self._input)
        self.began = False

    def install(self) -> None:
        """Listens from now on."""
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: self.begin())
        threading.Thread(target=self._await_hangup, name="hang-up", daemon=True).start()

    def begin(self) -> None:
        """Asks the app to leave, and makes sure of it; may be called from any thread or signal handler."""
        if self.began:
            return
        self.began = True
        threading.Thread(target=self._force, name="leave", daemon=True).start()
        loop = self._app.loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self._app.exit)

    def _await_hangup(self) -> None:
        # This thread waits for the hang-up alone: Textual reads the input, and its thread would spin at the end of it.
        poller = select.poll()
        poller.register(self._input, 0)
        while not poller.poll():
            continue
        self.begin()

    def _force(self) -> None:
        time.sleep(GRACE_S)
        try:
            self.restore()
        finally:
            os._exit(0)

    def restore(self) -> None:
        """Gives the terminal back as it was, whatever state it is in; never waits for it."""
        with suppress(termios.error, OSError):
            termios.tcsetattr(self._input, termios.TCSANOW, self._terminal)
        with suppress(termios.error, OSError):
            os.set_blocking(self._output, False)
            try:
                written = os.write(self._output, RESTORE.encode())
            except BlockingIOError:
                written = 0
            if written < len(RESTORE):  # nobody reads what was painted: dropping it makes room
                termios.tcflush(self._output, termios.TCOFLUSH)
                os.write(self._output, RESTORE.encode())
        with suppress(OSError):
            os.set_blocking(self._output, True)  # the shell has the same terminal
