"""The keys of Help as lines: wrapped, and second lines under the first."""

import pytest
from app_runs import until
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll

from codeprune_tui.widgets.keytable import KEYS_WIDTH, KeyTable, Line

LINES = [
    Line("1 Runs", "title"),
    Line("Filter the runs, for example: bleu>10 state=paused", keys="/"),
    Line("Go", keys="Enter"),
    Line(""),
    Line("A run lives in its own process and folder: closing this app stops nothing."),
]


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield KeyTable(LINES)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            40,
            [
                "1 Runs",
                "  /            Filter the runs, for",
                "               example: bleu>10",
                "               state=paused",
                "  Enter        Go",
                "",
                "A run lives in its own process and",
                "folder: closing this app stops nothing.",
            ],
        ),
        (
            120,
            [
                "1 Runs",
                "  /            Filter the runs, for example: bleu>10 state=paused",
                "  Enter        Go",
                "",
                "A run lives in its own process and folder: closing this app stops nothing.",
            ],
        ),
    ],
)
async def test_lines_wrap_at_the_width(width: int, expected: list[str]) -> None:
    async with Shown().run_test(size=(width, 24)) as pilot:
        table = pilot.app.query_one(KeyTable)
        await until(lambda: table.size.height == len(expected))
        lines = [table.render_line(y) for y in range(table.size.height)]
        assert [line.text.rstrip() for line in lines] == expected
        assert {line.cell_length for line in lines} == {width}
        assert lines[0]._segments[0].style.bold
        assert lines[1]._segments[0].style.bold
        assert not lines[1]._segments[1].style.bold


async def test_a_resize_wraps_anew() -> None:
    async with Shown().run_test(size=(120, 24)) as pilot:
        table = pilot.app.query_one(KeyTable)
        await until(lambda: table.size.height)
        wide = table.size.height
        await pilot.resize_terminal(KEYS_WIDTH + 12, 24)
        await until(lambda: table.size.height > wide)
        assert all(line.cell_length == table.size.width for line in (table.render_line(y) for y in range(table.size.height)))
