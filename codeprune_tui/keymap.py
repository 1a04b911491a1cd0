"""The app's keys, by the ids of their bindings, and the check of a user's keymap against them.

Reads the binding tables of all screens, and therefore imports them all: only a user with a keymap, or who opens Help, pays.
"""

import difflib
import unicodedata
from collections.abc import Mapping

from textual.binding import Binding, BindingType
from textual.keys import Keys, _character_to_key
from textual.screen import Screen

from core.program import program

from .frame import APP_KEYS
from .modes import MODES

NAMED = {key.value for key in Keys} | {"space", "enter", "escape", "tab", "backspace", "delete"}
MODIFIERS = ("ctrl+", "shift+", "alt+", "super+")


def tables() -> dict[str, list[Binding]]:
    """Screen -> the bindings that are active together there."""
    from .screens.ask import Confirm, Enter
    from .screens.help import HelpScreen
    from .screens.log import LogScreen
    from .screens.marks import MarkRuns
    from .screens.pick import PickValue
    from .screens.quantization import ChooseMethod
    from .screens.review import Review
    from .screens.terminal import TerminalScreen

    dialogs: dict[str, type[Screen[bool]] | type[Screen[str | None]] | type[Screen[None]] | type[Screen[list[str] | None]]] = {
        "a question": Confirm,
        "a field": Enter,
        "Help": HelpScreen,
        "the choice of runs": MarkRuns,
        "the list of values": PickValue,
        "the command": Review,
        "the choice of a method": ChooseMethod,
        "the terminal check": TerminalScreen,
    }
    by_screen = {mode.title: [*_own(APP_KEYS), *_own(mode.load().BINDINGS)] for mode in MODES.values()}
    everywhere = [binding for binding in _own(APP_KEYS) if binding.id != "app.quit"]  # q leads back from there
    by_screen["the whole log"] = [*everywhere, *_own(LogScreen.BINDINGS)]
    return by_screen | {title: _own(dialog.BINDINGS) for title, dialog in dialogs.items()}


def remappable() -> dict[str, tuple[str, str]]:
    """Id -> (keys, what it does), in the order of the screens."""
    return {
        binding.id: (binding.key, binding.tooltip or binding.description)
        for bindings in tables().values()
        for binding in bindings
        if binding.id
    }


def judge(keymap: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Takes the valid entries of a keymap.

    Args:
        keymap: Id of a binding -> keys, with commas between several.

    Returns:
        The valid entries, with keys as Textual names them, and a sentence for each entry that is left out.
    """
    known, problems, good = remappable(), [], {}
    for name, keys in keymap.items():
        pressed = [_named(key) for key in _split(keys)]
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"{program()} config lists them all."
            problems.append(f'keymap: there is no action "{name}"; {hint}')
        elif not pressed or not all(pressed):
            fix = 'write a character such as "x", or a name such as "f5", "ctrl+t" or "enter"'
            problems.append(f'keymap: "{name}" = "{keys}" is no key; {fix}.')
        else:
            good[name] = ",".join(key for key in pressed if key)
    return _without_clashes(good, problems), problems


def _without_clashes(keymap: dict[str, str], problems: list[str]) -> dict[str, str]:
    """Drops entries whose key means something else on the same screen, one by one, since each one dropped changes the rest."""
    keymap = dict(keymap)
    while clash := _clash(keymap):
        name, key, other, screen = clash
        problems.append(
            f'keymap: "{name}" = "{key}" is taken by "{other}" on {screen}; '
            f'choose another key, or give "{other}" another one, too.'
        )
        del keymap[name]
    return keymap


def _clash(keymap: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    for screen, bindings in tables().items():
        taken = {(key, binding.id or ""): None for binding in bindings for key in _keys(binding, keymap)}
        for name in keymap:
            mine = {key for key, owner in taken if owner == name}
            for key, owner in taken:
                if owner != name and key in mine:
                    return name, key, owner, screen
    return None


def _keys(binding: Binding, keymap: Mapping[str, str]) -> list[str]:
    return [_named(key) or key for key in _split(keymap.get(binding.id or "", binding.key))]


def _split(keys: str) -> list[str]:
    return [","] if keys == "," else [key.strip() or key for key in keys.split(",")]


def _named(key: str) -> str:
    """A key as Textual calls it, or "" if no key has that name."""
    if len(key) == 1:
        return _character_to_key(key) if key.isprintable() and not key.isspace() else ""
    base = key
    while modifier := next((prefix for prefix in MODIFIERS if base.startswith(prefix)), ""):
        base = base.removeprefix(modifier)
    if base in NAMED or key in NAMED or (len(base) == 1 and base.isprintable()):
        return key
    try:
        return key if _character_to_key(unicodedata.lookup(base.replace("_", " "))) == base else ""
    except KeyError:
        return key if base in ("plus", "minus", "slash", "underscore", "backslash") else ""


def _own(bindings: list[BindingType]) -> list[Binding]:
    return [binding for binding in bindings if isinstance(binding, Binding)]
