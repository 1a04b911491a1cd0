"""How codeprune-tui is called from here, for texts that name a command to type.

After `make demo` it lies in `.venv/bin`, which is on nobody's PATH; a text that says `codeprune-tui resume x` is then of no use.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

from . import OWNER


def program(*, anywhere: bool = False) -> str:
    """The first word or words of a command line that starts codeprune-tui from this shell.

    Args:
        anywhere: It is to work from other folders than this one, too.

    Returns:
        The bare name where the PATH finds the one that is at work; else the path of its script, from the working directory if it
        lies below it; without a script, the interpreter with `-m`. Quoted for a shell.
    """
    script = Path(sys.executable).with_name(OWNER)
    on_path = shutil.which(OWNER)
    if not script.is_file():
        return OWNER if on_path else f"{_quoted(Path(sys.executable), anywhere)} -m codeprune_tui.cli.main"
    if on_path and Path(on_path).resolve() == script.resolve():
        return OWNER
    return _quoted(script, anywhere)


def run_handle(root: Path) -> str:
    """What to call a run in a command to type: its name where that finds it, else its folder. Quoted for a shell.

    Args:
        root: The run's folder.
    """
    at_home = root.resolve().parent == Path("checkpoints").resolve()
    return shlex.quote(root.name if at_home else str(root))


def _quoted(file: Path, anywhere: bool) -> str:
    """The file as one would type it; links are left as they are, or an environment's interpreter would become the system's."""
    whole, folder = os.path.normpath(file.absolute()), os.getcwd()  # noqa: PTH109 - compared as text, as it is
    relative = os.path.relpath(whole, folder)
    return shlex.quote(whole if anywhere or relative.startswith("..") else relative)
