"""Keys act in the order they were pressed in, although letters go to a field and the others to the app."""

from pathlib import Path

import pytest
from app_runs import opened, shown, until, until_shown
from test_app_screens import row
from textual.events import Key, Paste
from textual.widgets import Input

from codeprune_tui.screens.help import HelpScreen
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.tui import CodepruneApp


def burst(app: CodepruneApp, *keys: str) -> None:
    """Presses keys as a terminal sends them in one go: all are there before the app looks at the first."""
    for key in keys:
        event = Key(key, key if len(key) == 1 else None)
        event.set_sender(app)
        app.post_message(event)


async def at_rest(app: CodepruneApp) -> None:
    await until(lambda: app._message_queue.empty() and app._keys._under_way is None and not app._keys._waiting)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["ctrl+u", *"hello"], "hello"),
        (["backspace"] * 3 + ["2"], "12"),
        (["backspace"] * 2 + [*"abc"], "12abc"),
        (["home", "7", "end", "8", "left", "left", "delete", "9"], "712398"),
        (["ctrl+u", *"ab", "ctrl+u", *"cd", "home", "x"], "xcd"),
    ],
)
async def test_editing_keys_and_letters_keep_their_order(tmp_path: Path, keys: list[str], text: str) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        line = app.screen.query_one("#name", Input)
        line.focus()
        await until(lambda: line.has_focus and line.selection.is_empty)
        line.value = "1234"
        line.cursor_position = 4
        burst(app, *keys)
        await at_rest(app)
        assert line.value == text


async def test_letters_after_tab_and_enter_belong_to_the_field_they_bring(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = app.screen
        first, second, third = (row(screen, f"training.{key}") for key in ("steps", "batch_size", "learning_rate"))
        assert isinstance(screen, NewRunScreen)
        line = first.query_one(Input)
        line.focus()
        await until(lambda: line.has_focus)
        burst(app, "ctrl+u", *"123", "tab", "ctrl+u", *"45", "enter", "ctrl+u", *"0.5")
        await at_rest(app)
        await until(lambda: screen._entries.get("training.learning_rate") == "0.5")
        assert [field.query_one(Input).value for field in (first, second, third)] == ["123", "45", "0.5"]
        assert (screen._entries["training.steps"], screen._entries["training.batch_size"]) == ("123", "45")


async def test_what_is_shown_never_takes_the_place_of_newer_typing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        field = row(app.screen, "training.steps")
        line = field.query_one(Input)
        line.value = "77"  # nobody has been told of it yet
        field.show_value(500)
        assert line.value == "77"
        field.show_value(500, over=True)
        assert line.value == "500"
        await pilot.pause()
        assert isinstance(app.screen, NewRunScreen)
        assert "training.steps" not in app.screen._entries


async def test_keys_wait_for_the_screen_that_a_key_brings(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "No runs yet.")
        burst(app, "6", "ctrl+f", "escape", "question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        burst(app, "escape", "1")
        await until(lambda: "[1 Runs]" in shown(app))


async def test_a_paste_keeps_its_place_among_keys(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        line = app.screen.query_one("#name", Input)
        line.focus()
        await until(lambda: line.has_focus)
        burst(app, *"ab", "ctrl+u")
        pasted = Paste("cd")
        pasted.set_sender(app)
        app.post_message(pasted)
        burst(app, "backspace", "e")
        await at_rest(app)
        assert line.value == "ce"


async def test_leaving_never_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "No runs yet.")
        app._keys._under_way = Key("x", "x")  # one that never comes to its end
        burst(app, "6", "ctrl+q")
        await until(lambda: app._exit)


async def test_the_form_says_that_it_is_loading_and_takes_up_what_was_pressed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, build = [], NewRunScreen._build

    async def look_and_build(self: NewRunScreen) -> None:
        seen.append(shown(self.frame))
        await build(self)

    monkeypatch.setattr(NewRunScreen, "_build", look_and_build)
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "No runs yet.")
        burst(app, "6", "ctrl+u", *"made")
        await until(lambda: isinstance(app.screen, NewRunScreen) and app.screen.is_built)
        assert "Loading the form…" in seen[0]
        await until(lambda: any(line.value == "made" for line in app.screen.query(Input)))
        assert "Loading the form…" not in shown(app)
