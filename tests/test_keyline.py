"""The line of keys is built anew when it has something else to show, and only then."""

from pathlib import Path

import pytest
from app_runs import SMALL, make_run, opened, shown, until, until_shown, whole_run

from codeprune_tui.screens.layers import LayersScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.widgets.keyline import KeyLine


async def test_it_is_built_once_and_again_for_other_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    recompose = KeyLine.recompose

    async def count(self: KeyLine) -> None:
        built.append(type(self.screen).__name__)
        await recompose(self)

    monkeypatch.setattr(KeyLine, "recompose", count)
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, SMALL) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter", "3")
        await until(lambda: isinstance(app.screen, LayersScreen))
        await until_shown(app, "v Values")
        for _ in range(3):
            await pilot.press("1")
            await until(lambda: isinstance(app.screen, RunsScreen))
            await until_shown(app, "v Compare")
            await pilot.press("3")
            await until_shown(app, "v Values")
        assert built.count("LayersScreen") == 1
        await pilot.press("enter")  # an opened matrix has other keys
        await until(lambda: "v Values" not in shown(app))
        assert built.count("LayersScreen") == 2
