"""The line of keys is built anew when it has something else to show, and only then."""

from pathlib import Path

import pytest
from app_runs import SMALL, make_run, opened, shown, until, until_shown, whole_run
from textual.widgets._footer import FooterKey

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


@pytest.mark.parametrize("mode", ["1", "2", "3", "4", "5", "6"])
async def test_help_is_always_among_the_keys_and_no_key_is_cut(tmp_path: Path, mode: str) -> None:
    make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, (60, 24)) as (app, pilot):
        await until_shown(app, "ruby-1")
        await pilot.press("enter", mode)
        await until(lambda: app.screen.query(FooterKey))
        await until(lambda: shown(app).splitlines()[-1].rstrip().endswith("? Help"))
        assert all(key.region.right <= 60 for key in app.screen.query(FooterKey))
        few = len(app.screen.query(FooterKey))
        await pilot.resize_terminal(160, 48)
        await until(lambda: len(app.screen.query(FooterKey)) >= few and shown(app).splitlines()[-1].rstrip().endswith("? Help"))
