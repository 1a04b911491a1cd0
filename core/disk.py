"""Errors of the disk or the system, in words for the user who can fix them: they are not defects of this program.

Knows errors of the system and nothing of who met them.
"""

import errno
import re
from pathlib import Path

OF_LIBRARIES = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust (safetensors, tokenizers) end the text of an error of the system."""
CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("There is no room left on the disk of {path}.", "Make room there"),
    errno.EDQUOT: ("The quota of the disk of {path} is used up.", "Make room there"),
    errno.EFBIG: ("{path} became larger than a file may be here.", "Raise the limit (ulimit -f)"),
    errno.EROFS: ("The disk of {path} is mounted read-only.", "Mount it for writing"),
    errno.EACCES: ("{path} may not be read or written.", "Change who may (chmod, chown)"),
    errno.EPERM: ("{path} may not be changed.", "Change who may (chmod, chown, chattr)"),
    errno.EIO: ("The disk of {path} gave an input/output error.", "Check the disk (dmesg tells more)"),
    errno.ENOENT: ("{path} is gone.", "Restore it"),
    errno.ENOTDIR: ("{path} has a file where a folder belongs.", "Put that right"),
    errno.EISDIR: ("{path} is a folder where a file belongs.", "Put that right"),
    errno.ENOTEMPTY: ("{path} is there already.", "Move it away"),
    errno.EEXIST: ("{path} is there already.", "Move it away"),
    errno.EMFILE: ("Too many files are open.", "Raise the limit (ulimit -n)"),
    errno.ENFILE: ("Too many files are open on this machine.", "Close some"),
    errno.ENOMEM: ("There is no memory left.", "Make room in it"),
    errno.ESTALE: ("The server of {path} has lost it.", "Mount its disk again"),
}
"""Number of an error -> its cause, and the beginning of its fix."""


def system_error(error: Exception, path: Path) -> OSError | None:
    """The error of the system that a library has put into words of its own; None for any other error.

    Args:
        error: What the library raised.
        path: What was being written.
    """
    match = OF_LIBRARIES.search(str(error))
    return None if match is None or isinstance(error, OSError) else OSError(int(match[1]), str(error), str(path))


def in_words(error: OSError, place: Path, after: str = "") -> tuple[str, str]:
    """What happened, and what to do.

    Args:
        error: What was raised.
        place: What to name where the error names no file.
        after: What to do then, such as "go on with: … resume mine".

    Returns:
        Problem and fix, a sentence each.
    """
    path = error.filename2 or error.filename or place  # of a rename, the target
    problem, fix = CAUSES.get(error.errno or 0, ("{path}: " + (error.strerror or str(error)) + ".", "Put that right"))
    then = f", then {after}" if after else ""
    return problem.replace("{path}", _text(path)), f"{fix}{then}."


def _text(path: object) -> str:
    return path.decode("utf-8", "replace") if isinstance(path, bytes) else str(path)
