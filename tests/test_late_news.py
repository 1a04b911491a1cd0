"""News that come too late: the app is leaving, or the screen that they were for has been taken down.

A message is held back where its thread posts it, and handed over at the worst moments, so nothing here depends on timing.
"""

import ast
import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from app_runs import LARGE, beginning, journal_start, live, make_run, opened, until, whole_run
from textual.app import App, ScreenStackError
from textual.css.query import NoMatches
from textual.message import Message
from textual.message_pump import CallbackError, MessagePump
from textual.screen import Screen
from textual.widget import MountError
from textual.widgets import Button, OptionList, Select
from textual.worker import WorkerFailed

import codeprune_tui
from codeprune_tui import bundle
from codeprune_tui.modes import MODES
from codeprune_tui.playground import process
from codeprune_tui.runs import client
from codeprune_tui.runs.models import Choice
from codeprune_tui.screens.ask import Confirm, Enter
from codeprune_tui.screens.choose import ChooseOne
from codeprune_tui.screens.layers import COST, LayersScreen
from codeprune_tui.screens.live import LiveScreen
from codeprune_tui.screens.log import LogScreen
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.screens.terminal import TerminalScreen
from codeprune_tui.tui import CodepruneApp, RunChanged, RunsListed
from codeprune_tui.widgets.opinion import Opinion
from core.recipe import build_recipe
from core.run.folder import RunPaths, create_run

PACKAGE = Path(codeprune_tui.__file__).parent
Held = list[tuple[MessagePump, Message]]


def posted_by_threads() -> set[str]:
    """Names of the messages that threads post, as the code says: the second argument of every call of `publish`."""
    names = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "publish" and isinstance(node.args[1], ast.Call):
                names.add(ast.unparse(node.args[1].func).removeprefix("self."))
    return names - {"Callback"}  # what `later` calls is no news


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """The app's own messages that threads post: kept, and but for those that lead to a run not handed on."""
    kept: Held = []
    post, loop_thread = MessagePump.post_message, threading.get_ident()

    def hold(pump: MessagePump, message: Message) -> bool:
        if threading.get_ident() == loop_thread or not type(message).__module__.startswith("codeprune_tui"):
            return post(pump, message)
        kept.append((pump, message))
        return post(pump, message) if isinstance(message, RunsListed | RunChanged) else True

    monkeypatch.setattr(MessagePump, "post_message", hold)
    return kept


async def everywhere(app: CodepruneApp, held: Held) -> None:
    """Opens every screen for which a thread works, leaves all of them open, and goes back to the list of runs."""

    async def came(name: str) -> None:
        await until(lambda: any(type(message).__name__ == name for _, message in held), f"no {name}")

    async def shown(screen: type[Screen[object]]) -> Screen[object]:
        await until(lambda: isinstance(app.screen, screen) and app.screen.is_mounted)
        return app.screen

    for name in ("RunsListed", "RunChanged", "Previewed"):
        await came(name)
    app.switch_mode("live")
    live_screen = await shown(LiveScreen)
    await came("MachineMeasured")
    await came("ExampleRead")
    live_screen.action_whole_log()  # type: ignore[attr-defined]
    await came("LogRead")
    app.switch_mode("layers")
    layers = await shown(LayersScreen)
    assert isinstance(layers, LayersScreen)
    layers._chosen_measure = COST
    layers.refresh_all()
    await came("LookedUp")
    app.switch_mode("compare")
    await came("Compared")
    app.switch_mode("new")
    await came("CostsFound")
    new = await shown(NewRunScreen)
    assert isinstance(new, NewRunScreen)
    new.action_pick()
    await came("Found")
    app.switch_mode("playground")
    await came("ModelsListed")
    app.switch_mode("runs")
    app.push_screen(TerminalScreen())
    await came("TmuxAnswered")


@asynccontextmanager
async def with_everything_open(folder: Path, held: Held, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CodepruneApp]:
    """The app with a demo run at work, an example, and every screen open that a thread serves."""
    example, _ = make_run(folder / "shipped", bundle.EXAMPLE, whole_run(bundle.EXAMPLE))
    monkeypatch.setattr(bundle, "example", lambda: example)
    monkeypatch.setenv("TMUX", "/nowhere,1,0")
    monkeypatch.setattr(process, "PLAYGROUND", (sys.executable, "-c", "import sys; sys.stdin.read()"))
    make_run(folder / "runs", "ruby-1", whole_run("ruby-1"), ago=60)
    paths = create_run(folder / "runs", f"{bundle.DEMO}-1", build_recipe({"pruning": {"rounds": 3}}))
    journal_start(paths, os.getpid(), socket.gethostname(), *beginning()[1:])
    with live(paths):
        async with opened(folder / "runs", LARGE, demo=True) as (app, _):
            await everywhere(app, held)
            yield app


async def test_news_that_come_right_after_the_user_has_left(tmp_path: Path, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_everything_open(tmp_path, held, monkeypatch) as app:
        names = {type(message).__name__ for _, message in held}
        assert names == {name.rpartition(".")[2] for name in posted_by_threads()}, "every message of a thread is tried"
        app.exit()
        for pump, message in held:
            pump.post_message(message)
    assert app.return_code == 0
    assert app.defect is None


@pytest.mark.parametrize("left", [True, False], ids=["left", "torn down"])
async def test_news_that_come_while_their_screen_is_taken_down(
    tmp_path: Path, held: Held, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    taken_down: set[object] = set()
    prune = App._prune

    def prune_with_news(app: App[None], *nodes: Screen[object], parent: object = None) -> object:
        news = [(pump, message) for pump, message in held if pump in nodes]
        taken_down.update(pump for pump, _ in news)
        for pump, message in news:
            pump.post_message(message)
        awaitable = prune(app, *nodes, parent=parent)  # type: ignore[arg-type]
        for pump, message in news:  # behind the message that takes it down
            pump.post_message(message)
        return awaitable

    async with with_everything_open(tmp_path, held, monkeypatch) as app:
        screens = {pump for pump, _ in held if isinstance(pump, Screen)}
        monkeypatch.setattr(App, "_prune", prune_with_news)
        if left:
            app.exit()
    assert taken_down == screens
    assert app.defect is None


# Screens that open while the app leaves


@pytest.mark.parametrize("turns", [0, 2, 4])
@pytest.mark.parametrize("mode", [*MODES, "help", "terminal", "log"])
async def test_a_screen_that_opens_while_the_user_leaves(tmp_path: Path, mode: str, turns: int) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    async with opened(tmp_path, LARGE) as (app, _):
        await until(lambda: app.runs)
        if mode == "help":
            app.action_help()
        elif mode == "terminal":
            app.action_terminal()
        elif mode == "log":
            app.push_screen(LogScreen(paths))
        else:
            app.action_mode(mode)
        for _turn in range(turns):  # of the event loop: the screen is built as far as that
            await asyncio.sleep(0)
        app.exit()
    assert app.return_code == 0
    assert app.defect is None


async def test_a_screen_that_never_opened_leaves_no_thread(tmp_path: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    before = set(threading.enumerate())
    async with opened(tmp_path, LARGE) as (app, _):
        app.exit()
        app.push_screen(LogScreen(paths))
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), thread.name


# What is a defect all the same


@pytest.mark.parametrize("error", [NoMatches("no #chart"), MountError("nowhere"), ScreenStackError("none")], ids=repr)
async def test_a_missing_widget_is_a_defect_while_the_app_runs(tmp_path: Path, error: Exception) -> None:
    def fail() -> None:
        raise error

    async def use() -> None:
        async with opened(tmp_path) as (app, _):
            app.screen.call_later(fail)
            await until(lambda: app.defect is error)

    with pytest.raises(type(error)):
        await use()


@pytest.mark.parametrize("wrap", [lambda error: error, WorkerFailed, CallbackError], ids=["handler", "worker", "timer"])
@pytest.mark.parametrize("error", [NoMatches("no #chart"), ValueError("odd")], ids=repr)
async def test_only_a_missing_widget_is_forgiven_while_the_app_leaves(
    tmp_path: Path, error: Exception, wrap: Callable[[Exception], Exception]
) -> None:
    def wrapped() -> Exception:
        if wrap is not CallbackError:
            return wrap(error)
        try:
            try:
                raise error
            except Exception:
                raise CallbackError("unable to run callback")  # noqa: B904 - as Textual does it
        except CallbackError as outer:
            return outer

    app = CodepruneApp(tmp_path)
    app._running = True
    app.exit()
    app._handle_exception(wrapped())
    assert (app.defect is None) == isinstance(error, NoMatches)


# Work in threads that ends when the app is gone


@pytest.mark.parametrize("start", ["start", "start_demo"])
async def test_a_run_that_starts_when_the_app_is_gone_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    gone, failures = threading.Event(), []
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))

    def slowly(*_: object) -> RunPaths:
        gone.wait()
        return paths

    monkeypatch.setattr(client, start, slowly)
    monkeypatch.setattr(threading, "excepthook", failures.append)
    async with opened(tmp_path, LARGE) as (app, pilot):
        before = set(threading.enumerate())
        if start == "start_demo":
            await pilot.press("d")
        else:
            await pilot.press("6")
            await until(lambda: isinstance(app.screen, NewRunScreen) and app.screen.is_built)
            before = set(threading.enumerate())
            screen = app.screen
            assert isinstance(screen, NewRunScreen)
            screen.frame.perform(lambda: screen._start(screen.frame, build_recipe({}), None), "")
        workers = set(threading.enumerate()) - before
        assert workers
    gone.set()
    for worker in workers:
        worker.join(timeout=30)
        assert not worker.is_alive(), worker.name
    assert not failures


async def test_a_demo_that_has_started_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    monkeypatch.setattr(client, "start_demo", lambda checkpoints: paths)
    async with opened(tmp_path, LARGE) as (app, pilot):
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, LiveScreen) and not screen._starting)
        assert app.watched is None or app.watched.paths == paths


# Dialogs are answered once


async def test_the_second_click_of_a_double_click_finds_the_dialog_gone(tmp_path: Path) -> None:
    answers: list[object] = []
    async with opened(tmp_path) as (app, _):
        front = app.screen
        for dialog, press in (
            (Confirm("Sure?", "Yes"), lambda dialog: Button.Pressed(dialog.query_one("#yes", Button))),
            (Enter("A word?", lambda _: "", "Take", "word"), lambda dialog: Button.Pressed(dialog.query_one("#yes", Button))),
            (ChooseOne("Which?", {"one": "1"}), lambda dialog: _selected(dialog.query_one(OptionList))),
        ):
            app.push_screen(dialog, answers.append)  # type: ignore[arg-type]
            await until(lambda dialog=dialog: app.screen is dialog and dialog.is_mounted)
            dialog.post_message(press(dialog))
            dialog.post_message(press(dialog))
            await until(lambda: app.screen is front)
            await until(lambda dialog=dialog: not dialog.is_running)
    assert answers == [True, "word", "one"]


def _selected(options: OptionList) -> Message:
    return OptionList.OptionSelected(options, options.get_option_at_index(0), 0)


async def test_a_late_answer_leaves_the_dialog_in_front_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        below, front = Confirm("Below?", "Yes"), Confirm("In front?", "Yes")
        app.push_screen(below)
        app.push_screen(front)
        await until(lambda: app.screen is front and front.is_mounted)
        below.dismiss(True)
        assert app.screen is front
        front.dismiss(True)
        assert app.screen is below


# A column of the Playground that is being built or taken away


async def test_models_that_come_while_a_column_is_built_or_taken_away() -> None:
    choice = Choice("/models/a", "a model", "a")
    async with App[None]().run_test() as pilot:
        column = Opinion(3)
        column.offer([choice], narrow=False)
        column.choose(choice)
        await pilot.app.mount(column)
        assert column.query_one(Select).value == "/models/a"
        await column.remove()
        column.offer([choice], narrow=True)
