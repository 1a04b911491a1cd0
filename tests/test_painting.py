"""What is sent to the terminal: all that has changed, and nothing else."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pyte
import pytest
from app_runs import NOW, make_run, opened, shown, until, until_shown, whole_run
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from terminal import Terminal
from test_app_screens import SIZES
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.content import Content
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Input, Static

from codeprune_tui.terminal.renderer import Painted
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.widgets.telling import retitle, tell

ROOT = Path(__file__).resolve().parent.parent
CONSOLE = Console(force_terminal=True, color_system="truecolor", width=200)
STYLES = [None, Style(color="#ff0000"), Style(bold=True), Style(bgcolor="#0000ff")]
WORDS = ["a", "bc", "   ", "defghijk", "─", "●", "日本", "é", "e\u0301", "0123456789"]


class Copy:
    """Two terminals: one gets everything, one only what has changed."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.painted = Painted()
        # One column more: pyte wraps before an accent that belongs to the last one.
        self.screens = [pyte.Screen(width + 1, height), pyte.Screen(width + 1, height)]
        self.sent = 0

    def take(self, update: LayoutUpdate | ChopsUpdate) -> None:
        changes = self.painted.changes(update, self.size).render_segments(CONSOLE)
        self.sent = len(changes)
        for screen, text in zip(self.screens, (update.render_segments(CONSOLE), changes), strict=True):
            pyte.Stream(screen).feed(text.replace("\n", "\r\n"))

    def assert_same(self) -> None:
        whole, copy = self.screens
        assert copy.display == whole.display
        for y in range(self.size[1]):
            assert [copy.buffer[y][x] for x in range(self.size[0])] == [whole.buffer[y][x] for x in range(self.size[0])]


def a_strip(chance: random.Random, width: int, words: Sequence[str] = WORDS) -> Strip:
    segments = [Segment(chance.choice(words), chance.choice(STYLES)) for _ in range(width)]
    return Strip(segments).crop(0, width)


@pytest.mark.parametrize("seed", range(20))
def test_a_terminal_that_gets_the_changes_shows_the_same(seed: int) -> None:
    chance = random.Random(seed)
    width, height = 30, 6
    copy = Copy(width, height)
    rows: list[dict[int, Strip]] = []
    for turn in range(25):
        if turn == 0 or chance.random() < 0.2:
            cut = chance.randint(5, 25)
            rows = [{0: a_strip(chance, cut), cut: a_strip(chance, width - cut)} for _ in range(height)]
            copy.take(LayoutUpdate([list(row.values()) for row in rows], Region(0, 0, width, height)))
        else:
            y = chance.randrange(height)
            x = chance.choice(list(rows[y]))
            end = min((at for at in rows[y] if at > x), default=width)
            rows[y][x] = a_strip(chance, end - x)
            chops = [{at: strip if (at, line) == (x, y) else None for at, strip in row.items()} for line, row in enumerate(rows)]
            copy.take(ChopsUpdate(chops, [(y, x, end)], [[*list(row)[1:], width] for row in rows]))
        copy.assert_same()


def test_the_same_again_sends_nothing_and_a_letter_sends_a_letter() -> None:
    copy = Copy(80, 24)
    lines = [Strip([Segment(f"line {y} of the screen".ljust(80), STYLES[1])]) for y in range(24)]
    whole = LayoutUpdate([[line] for line in lines], Region(0, 0, 80, 24))
    copy.take(whole)
    everything = copy.sent
    copy.take(whole)
    assert copy.sent == 0
    lines[3] = Strip([Segment("line X of the screen".ljust(80), STYLES[1])])
    copy.take(LayoutUpdate([[line] for line in lines], Region(0, 0, 80, 24)))
    copy.assert_same()
    assert 0 < copy.sent < 40
    copy.painted.forget()
    copy.take(whole)
    assert copy.sent == everything
    assert copy.painted.changes(whole, (81, 24)).runs  # another size: the terminal has moved everything


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Everything that is handed to the driver from now on."""
    updates: list[object] = []
    display = CodepruneApp._display

    def count(self: CodepruneApp, screen: Screen[object], update: CompositorUpdate | None) -> None:
        if update is not None:
            updates.append(update)
        display(self, screen, update)

    monkeypatch.setattr(CodepruneApp, "_display", count)
    return updates


@SIZES
@pytest.mark.parametrize("keys", [[], ["question_mark"], ["ctrl+p"], ["2"], ["4"], ["5"], ["6"]], ids=lambda keys: "".join(keys))
async def test_time_alone_paints_nothing(
    tmp_path: Path, size: tuple[int, int], keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make_run(tmp_path, f"run-{number}", whole_run(f"run-{number}"), ago=3_600.0)
    async with opened(tmp_path, size) as (app, pilot):
        await until_shown(app, "run-2")
        app.slow = True
        app._ticking.stop()
        await pilot.press(*keys)
        await pilot.pause()
        last = ""
        while (now := shown(app)) != last:  # until it has settled
            last = now
            for _ in range(5):
                await pilot.pause(0.05)
        painted = counted(monkeypatch)
        for _ in range(5):
            app._tick()
            assert app.runs is not None
            app._front(lambda screen: screen.refresh_all())
            await pilot.pause(0.05)
        assert painted == []


def test_after_dialogs_the_screen_is_as_if_painted_anew(tmp_path: Path) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"))
    make_run(tmp_path, "run-2", whole_run("run-2"))
    program = f"from pathlib import Path; from codeprune_tui.app import run_app; run_app(Path({str(tmp_path)!r}))"
    terminal = Terminal([sys.executable, "-c", program], folder=ROOT)
    try:
        terminal.until("run-2", "Detach").send("\x1b").until("run-2", gone="any key")
        for key, text in (("?", "Esc closes this"), ("\x10", "Search for commands"), ("/", "words or expressions, such as")):
            terminal.send(key).until(text).send("\x1b[B").send("\x1b").until("run-2", gone=text)
        before = terminal.text
        terminal.send("6").until("[6 New run]", "Start (^s)").send("\x1b").until(before)  # the whole screen, to the last cell
        terminal.send("q")
        assert terminal.ended() == 0
    finally:
        terminal.process.close(force=True)


def test_what_is_scrolled_to_is_on_the_terminal(tmp_path: Path) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"))
    program = f"from pathlib import Path; from codeprune_tui.app import run_app; run_app(Path({str(tmp_path)!r}))"
    terminal = Terminal([sys.executable, "-c", program], folder=ROOT)
    try:
        terminal.until("run-1", "Detach").send("\x1b").until("run-1", gone="any key")
        terminal.send("?").until("Esc closes this ·").send("\x1b[F")
        # The scrollbar, too, is painted by itself, and beside it what lies below the text must not be.
        terminal.until("Matrices: qry", "as a bitmask and the kept values.", gone="Esc closes this ·")
        terminal.send("\x1b[H").until("Esc closes this ·", gone="Matrices: qry")
    finally:
        terminal.process.close(force=True)


def test_beside_the_spans_of_an_update_nothing_is_sent() -> None:
    below, text = Strip([Segment(" " * 10)]), Strip([Segment("|")])
    update = ChopsUpdate([{0: below, 10: text}], [(0, 10, 11)], [[10, 11]])
    assert [(run.x, run.y, "".join(part.text for part in run.segments)) for run in Painted().changes(update, (11, 1)).runs] == [
        (10, 0, "|")
    ]
    update = ChopsUpdate([{0: Strip([Segment("abcdefghij")]), 10: text}], [(0, 3, 6)], [[10, 11]])
    assert [(run.x, run.y, "".join(part.text for part in run.segments)) for run in Painted().changes(update, (11, 1)).runs] == [
        (3, 0, "def")
    ]


async def test_a_run_that_changes_is_painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "run-1", whole_run("run-1"), ago=3_600.0)
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "1 h")
        painted = counted(monkeypatch)
        app.clock = lambda: NOW + 7_200.0
        await until_shown(app, "3 h")
        await until(lambda: bool(painted))


async def test_no_cursor_blinks_over_a_slow_line(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await until_shown(app, "No runs yet.")
        for slow in (True, False):
            app.slow = slow
            await pilot.press("slash")
            await until(lambda: isinstance(app.focused, Input))
            assert isinstance(app.focused, Input)
            assert app.focused.cursor_blink is not slow
            await pilot.press("escape")


async def test_another_style_is_told_and_the_same_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as (app, _):
        await until_shown(app, "No runs yet.")
        line = app.screen.query_one("#empty", Static)
        updates = []
        update = Static.update
        monkeypatch.setattr(Static, "update", lambda self, text: updates.append(text) or update(self, text))
        for text, count in (("x", 1), ("x", 1), (Content.styled("x", "bold"), 2), (Content.styled("x", "bold"), 2), ("y", 3)):
            tell(line, text)
            assert len(updates) == count
        retitle(line, "a [b] c")
        assert Content.from_markup(line.border_title or "").plain == "a [b] c"
        refreshed = []
        monkeypatch.setattr(Static, "refresh", lambda self, *arguments, **options: refreshed.append(self))
        retitle(line, "a [b] c")
        assert refreshed == []
        retitle(line, "d")
        assert refreshed
