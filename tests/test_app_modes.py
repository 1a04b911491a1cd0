"""Going from mode to mode: quick, and with the looks of now."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from app_runs import make_run, opened, shown, until, until_shown, whole_run
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.events import AppBlur
from textual.pilot import Pilot

from codeprune_tui.modes import MODES
from codeprune_tui.tui import CodepruneApp


async def seen(app: CodepruneApp, pilot: Pilot[None], keys: str) -> None:
    """Goes through some modes, waiting for each."""
    titles = {mode.key: mode.title for mode in MODES.values()}
    for key in keys:
        await pilot.press(key)
        await until_shown(app, f"[{key} {titles[key]}]")
        await pilot.pause()


def styled(monkeypatch: pytest.MonkeyPatch) -> list[DOMNode]:
    """All whose styles are found from now on."""
    restyled: list[DOMNode] = []
    update_nodes = Stylesheet.update_nodes

    def note(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        listed = list(nodes)
        restyled.extend(listed)
        update_nodes(self, listed, animate)

    monkeypatch.setattr(Stylesheet, "update_nodes", note)
    return restyled


async def test_a_mode_that_comes_back_is_not_styled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "run-1")
        # The second time takes up the styles of what the modes after it brought along.
        await seen(app, pilot, "2341" * 2)
        restyled = styled(monkeypatch)
        await seen(app, pilot, "2341")
        assert app.screen not in restyled
        app.post_message(AppBlur())  # which any widget may show
        await until(lambda: not app.app_focus)
        restyled.clear()
        app.action_mode("live")  # a key would bring the focus back
        await until_shown(app, "[2 Live]")
        await until(lambda: app.screen in restyled)


async def test_a_theme_reaches_the_modes_behind(tmp_path: Path) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"))
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "run-1")
        await seen(app, pilot, "2341")
        dark = app.screen.styles.background
        app.theme = "textual-light"
        await until(lambda: app.screen.styles.background != dark)
        light = app.screen.styles.background
        for key in "234":
            await seen(app, pilot, key)
            assert app.screen.styles.background == light


async def test_nothing_is_left_of_the_mode_before(tmp_path: Path) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"))
    async with opened(tmp_path, (160, 48)) as (app, pilot):
        await until_shown(app, "best 24.00")  # the preview's chart, which comes last
        shots: list[str] = []

        def settled() -> bool:
            shots.append(shown(app))
            return len(shots) >= 10 and len(set(shots[-10:])) == 1

        await until(settled)
        first = shown(app)
        await seen(app, pilot, "2341")
        await until(lambda: shown(app) == first)


@pytest.mark.parametrize("delay", [None, 0.05])
async def test_what_is_held_back_comes(tmp_path: Path, delay: float | None) -> None:
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "No runs yet.")
        if delay is None:
            app.delay_update()
        else:
            app.delay_update(delay)
        assert app._batch_count == 1
        await until(lambda: app._batch_count == 0)


def test_a_field_may_be_there_before_the_first_screen(tmp_path: Path) -> None:
    # From Python 3.12 on, tasks begin at once, and so the first screen's fields before it is on the stack; each field does this.
    CodepruneApp(tmp_path).clear_selection()
