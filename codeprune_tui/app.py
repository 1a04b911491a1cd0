"""Opens the app, and sees to it that it always leaves cleanly.

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
from pathlib import Path
from typing import TYPE_CHECKING

import core
from core.program import program

from .plain import plain
from .words import reopening

if TYPE_CHECKING:
    from .tui import CodepruneApp

GRACE_S = 0.7
"""After that the process ends whatever hangs: a dead terminal blocks Textual's writer, and with it the event loop."""
FRAMES_PER_S = "120"
"""At most; a key's answer waits for the next frame."""
SWITCH_S = 0.001
"""How long the threads that read runs may go on while a key waits; Python's default is five times that."""
RESTORE = (
    "\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2048l\x1b[<u\x1b[?1049l\x1b[?25h"
)
"""Bracketed paste, mouse, focus reports and keyboard protocol off, line wrap on, back from the alternate screen, cursor on."""


def run_app(checkpoints: Path, demo: bool = False, low_bandwidth: bool = False) -> None:
    """Runs the app until it is left; what was running goes on.

    Args:
        checkpoints: Folder of all runs; it need not exist yet.
        demo: Also show what came with the package.
        low_bandwidth: For slow lines, whatever the settings say.

    Raises:
        SystemExit: There is no terminal, or the `core` that would be used isn't ours; with a text that says what to do.
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
    from .terminal_input import PastingDriver
    from .tidying import Tidying
    from .tui import CodepruneApp

    Tidying.begin()
    sys.setswitchinterval(SWITCH_S)
    app = CodepruneApp(checkpoints, demo=demo, config=config_path(), low_bandwidth=low_bandwidth)
    app.driver_class = PastingDriver
    leaving = Leaving(app)
    leaving.install()
    app.run()
    if not leaving.began:
        _say_goodbye(app)


def _say_goodbye(app: "CodepruneApp") -> None:
    if live := app.at_work():
        again, where = reopening(app.checkpoints)
        # Each command on a line of its own: it is to be copied, and a terminal breaks what is long.
        print(f"Still at work in {plain(where, 300)}: {', '.join(live)}.\nWatch again: {again}\nStop: {again} stop {live[0]}")


class Leaving:
    """Makes the app leave when the terminal or the system says so.

    Args:
        app: The app; not running yet.
    """

    def __init__(self, app: "CodepruneApp") -> None:
        self._app = app
        self._terminal = termios.tcgetattr(sys.stdin.fileno())
        self.began = False

    def install(self) -> None:
        """Listens from now on."""
        for number in (signal.SIGHUP, signal.SIGTERM):
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
        # Only the hang-up itself is waited for: input is Textual's, whose own thread would spin on the end of it.
        poller = select.poll()
        poller.register(sys.stdin.fileno(), 0)
        while not poller.poll():
            continue
        self.begin()

    def _force(self) -> None:
        time.sleep(GRACE_S)
        fd = sys.stderr.fileno()
        with suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._terminal)
        with suppress(OSError):
            os.set_blocking(fd, False)
            os.write(fd, RESTORE.encode())
        os._exit(0)
