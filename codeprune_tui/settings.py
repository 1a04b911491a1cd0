"""The user's settings of the app, in a TOML file in the platform's folder for settings.

A wrong key never keeps the app from starting: it gets its default, and a sentence names the key and what it allows.
Knows neither Textual nor the keys that exist; `keymap` judges the keymap, the app the theme.
"""

import difflib
import os
from pathlib import Path
from typing import Literal, get_args

import platformdirs
import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tomlkit.exceptions import TOMLKitError

from core.atomic import complete_or_absent
from core.recipe import DEVICE_PATTERN
from core.regularfile import TOML_BYTES, parse_toml, read_regular, reason

APP = "codeprune-tui"
Notify = Literal["off", "osc9", "osc777"]


class Settings(BaseModel):
    """The settings, valid and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    theme: str = Field("textual-dark", description="Colours. Any theme of the command palette (Ctrl+P, Theme).")
    low_bandwidth: bool = Field(False, description="For slow lines: no animations, news every two seconds.")
    bell: bool = Field(True, description="Ring the terminal's bell when a round or a run ends, or fails.")
    notify: Notify = Field("off", description='Desktop notifications through the terminal: "off", "osc9" or "osc777".')
    playground_device: str = Field(
        "auto", pattern=DEVICE_PATTERN, description="Where the Playground computes: auto, cpu, cuda, cuda:N or mps."
    )
    tips: bool = Field(True, description="Show a few tips at the very first start.")
    keymap: dict[str, str] = Field(
        default_factory=dict, description="Other keys, by the names of the actions; several keys with commas between them."
    )


def config_path() -> Path:
    """The path of the settings file on this platform; the file need not exist."""
    return platformdirs.user_config_path(APP) / "config.toml"


def load(path: Path) -> tuple[Settings, list[str]]:
    """Reads the settings.

    Args:
        path: The file; without one, every setting has its default.

    Returns:
        The settings, and a sentence for each wrong entry of the file, which was left out.
    """
    try:
        raw = parse_toml(read_regular(path, TOML_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return Settings(), []
    except OSError as error:
        return Settings(), [f"{path} cannot be read: {reason(error)}. The defaults are used."]
    except ValueError as error:
        return Settings(), [f"{path} is not valid TOML: {error}. The defaults are used until that is mended."]
    try:
        return Settings.model_validate(raw), []
    except ValidationError as error:
        places = {str(details["loc"][0]): details["loc"] for details in error.errors(include_url=False)}
    return Settings.model_validate({key: value for key, value in raw.items() if key not in places}), [
        _sentence(path, key, loc, raw[key]) for key, loc in places.items()
    ]


def remember_theme(path: Path, theme: str) -> None:
    """Writes the theme into the file, whose comments and other entries stay.

    Args:
        path: The file; made if missing.
        theme: Name of the theme.

    Raises:
        OSError: The file cannot be written, or is no TOML and must not be overwritten.
    """
    try:
        text = read_regular(path, TOML_BYTES).decode("utf-8") if os.path.lexists(path) else ""
        document = tomlkit.parse(text)
        document["theme"] = theme
        content = tomlkit.dumps(document)
        parse_toml(content)
    except (TOMLKitError, ValueError) as error:
        raise OSError(None, "it is not valid TOML; mend it first", str(path)) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as draft:
        draft.write_text(content, encoding="utf-8")


def template(ids: dict[str, tuple[str, str]]) -> str:
    """A settings file that has every key with its default, commented out.

    Args:
        ids: Name of an action -> (its keys, what it does).
    """
    lines = ["# Settings of codeprune-tui. Take the # away from what you change."]
    defaults = Settings()
    for name, field in Settings.model_fields.items():
        if name != "keymap":
            value = tomlkit.item(getattr(defaults, name)).as_string()
            lines += ["", f"# {field.description}", f"# {name} = {value}"]
    lines += ["", f"# {Settings.model_fields['keymap'].description}", "# [keymap]"]
    width = max((len(name) + len(keys) for name, (keys, _) in ids.items()), default=0)
    lines += [f'# "{name}" = "{keys}"'.ljust(width + 11) + f"# {what}" for name, (keys, what) in ids.items()]
    return "\n".join(lines) + "\n"


def _sentence(path: Path, key: str, loc: tuple[int | str, ...], value: object) -> str:
    if key not in Settings.model_fields:
        near = difflib.get_close_matches(key, list(Settings.model_fields), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(Settings.model_fields)}."
        return f'{path}: unknown key "{key}"; {hint}'
    allowed = {
        "theme": 'a name in quotes, such as "textual-dark"',
        "low_bandwidth": "true or false",
        "bell": "true or false",
        "notify": ", ".join(f'"{name}"' for name in get_args(Notify)),
        "playground_device": '"auto", "cpu", "cuda", "cuda:N" (such as "cuda:1") or "mps"',
        "tips": "true or false",
        "keymap": 'a table such as [keymap] with lines such as "run.pause" = "x"',
    }[key]
    where = ".".join(str(part) for part in loc)
    return f"{path}: {where} = {value!r} is not allowed; allowed: {allowed}. The default is used."
