"""The subcommand about the terminal: what it can do, and what to set where it could do more."""

import os
import sys
from contextlib import suppress

from ..terminal.streams import trusted
from ..views.plain import plain
from .runs import app


@app.command(epilog="\b\nExample:\n  codeprune-tui terminal")
def terminal() -> None:
    """Check the terminal: size, colours, tmux, characters.

    Prints what the app shows under Help, t. No program can say whether the samples look right: look at them yourself.
    """
    from rich.console import Console
    from rich.text import Text

    from ..terminal import facts
    from ..widgets.heatmap import TONES, tone_style

    console = Console(file=trusted(sys.stdout), highlight=False, soft_wrap=True)
    # The app always writes to a terminal, whereas this output may go into a file: ask as the app does.
    colours = None if "NO_COLOR" in os.environ else Console(force_terminal=True).color_system
    tmux = facts.tmux_settings(os.environ)
    checked = facts.facts(os.environ, _size(), colours, sys.stdout.encoding or "", tmux)
    for _, line, advice in facts.as_lines(checked):
        console.print(Text(plain(line)))
        if advice:
            console.print(Text(f"            {plain(advice)}", "dim"))
    ramp = Text("heatmap  ")
    for tone in range(11):
        ramp.append(f"{tone * 10:>3} ", tone_style(tone / 10, TONES))
    console.print(ramp + Text("%"))
    for line in facts.sample_lines():
        console.print(Text(line))
    console.print(Text(f"         {facts.SAMPLES_ADVICE}", "dim"))


def _size() -> tuple[int, int] | None:
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        with suppress(OSError, ValueError, AttributeError):  # no terminal, closed, or none at all
            return tuple(os.get_terminal_size(stream.fileno()))  # type: ignore[union-attr,return-value]
    return None
