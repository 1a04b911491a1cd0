"""The command line's entry point: checks its environment, runs a command, turns errors into texts and exit codes.

| code | means |
|---|---|
| 0 | done |
| 1 | an error of no kind below, or a defect |
| 2 | wrong usage; also: the app was started without a terminal |
| 3 | a recipe that cannot be read, or that asks for something impossible |
| 4 | data that is missing or broken |
| 5 | a model that cannot be loaded |
| 6 | a run that is missing, busy, stopped or crashed, or whose worker does not answer |
| 7 | a run that failed |
| 130 | interrupted by Ctrl-C; a run that the command followed goes on |

Data goes to stdout, narration and errors to stderr. Neither torch nor Textual is imported before a command needs it.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import core

if TYPE_CHECKING:
    import typer
    from typer.models import CommandInfo, TyperInfo

COMPLETE_VARIABLE = "_CODEPRUNE_TUI_COMPLETE"
"""The shell's completion script sets it when it asks for words."""


def main() -> None:
    """Runs `codeprune-tui` with the arguments of this process, and exits with a code of the table above."""
    if getattr(core, "OWNER", None) != "codeprune-tui":
        where = getattr(core, "__file__", None) or list(core.__path__)
        print(
            f"Another package called core ({where!r}) hides the one of codeprune-tui. "
            "Install codeprune-tui into an environment of its own, for instance with: uv tool install codeprune-tui",
            file=sys.stderr,
        )
        sys.exit(1)
    from core import shortage
    from core.disk import in_words
    from core.errors import CodepruneError
    from core.shortage import is_shortage

    from ..terminal.streams import guard_terminals
    from . import (  # noqa: F401 - they add their commands to `app`
        bench,
        config,
        experiments,
        export,
        folders,
        models,
        prune,
        quantize,
        report,
        score,
        sensitivity,
        shrink,
        sweep,
        terminal,
    )
    from .console import say
    from .runs import app

    guard_terminals()
    try:
        app(prog_name=_program_in_help(app))
    except CodepruneError as error:
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"Error: {' '.join(in_words(error, Path.cwd()))}")
        sys.exit(1)
    except Exception as error:
        if is_shortage(error):
            say(f"Error: {' '.join(shortage.in_words(error, 'The command'))}")
            sys.exit(1)
        from ..terminal.defect import sentences, write_report

        say(f"Error: {sentences(error, write_report(error))}")
        sys.exit(1)


def _program_in_help(app: "typer.Typer") -> str:
    """Puts the words that call this program into the examples of every command's help, and returns them.

    Shell completion is asked for by the bare name, which shells also look up for a path that ends with it.
    """
    if COMPLETE_VARIABLE in os.environ or any(word.startswith(("--install-c", "--show-c")) for word in sys.argv[1:]):
        return core.OWNER
    from core.program import program

    name = program()
    groups = [group.typer_instance for group in app.registered_groups if group.typer_instance is not None]
    described: list[TyperInfo | CommandInfo] = [app.info, *app.registered_commands]
    for group in groups:
        described += [group.info, *group.registered_commands]
    for info in described:
        if isinstance(info.epilog, str):
            info.epilog = re.sub(rf"(^  |\| ){core.OWNER}\b", lambda match: match[1] + name, info.epilog, flags=re.MULTILINE)
    return name


if __name__ == "__main__":
    main()
