"""The command line's front door: checks what it stands on, runs a command, turns errors into texts and exit codes.

| code | means |
|---|---|
| 0 | done |
| 1 | an error of a kind that is none of these, or a defect |
| 2 | wrong usage; also: the app was asked for without a terminal |
| 3 | a recipe that cannot be read, or asks for what cannot be |
| 4 | data that is missing or broken |
| 5 | a model that cannot be loaded |
| 6 | a run that is missing, busy, stopped or crashed, or whose worker does not answer |
| 7 | a run that failed |
| 130 | interrupted by Ctrl-C; a run that was being followed goes on |

Data goes to stdout, narration and errors to stderr. Neither torch nor Textual is imported before a command needs it.
"""

import io
import sys

import core


def main() -> None:
    """Runs `codeprune-tui` with the arguments of this process, and leaves with the exit code of the table above."""
    if getattr(core, "OWNER", None) != "codeprune-tui":
        where = getattr(core, "__file__", None) or list(core.__path__)
        print(
            f"Another package called core ({where!r}) hides the one of codeprune-tui. "
            "Install codeprune-tui into an environment of its own, for instance with: uv tool install codeprune-tui",
            file=sys.stderr,
        )
        sys.exit(1)
    from core.errors import CodepruneError

    from . import (  # noqa: F401 - they add their commands to `app`
        bench_commands,
        config_commands,
        experiment_commands,
        folder_commands,
        model_commands,
        quantize_commands,
        report_commands,
        sensitivity_commands,
        terminal_commands,
    )
    from .commands import app
    from .console import say

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no "–" is no reason to fail
    try:
        app(prog_name="codeprune-tui")
    except CodepruneError as error:
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"Error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
