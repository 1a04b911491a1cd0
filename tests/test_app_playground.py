"""Mode 5: what is pasted, what the models write about it, and that nothing in either acts on the app or the terminal."""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from app_runs import LARGE, SMALL, live, make_run, opened, shown, until, until_shown, whole_run
from terminal import Terminal
from test_app_hostile import EVIL, assert_harmless
from test_playground import MODEL, STAND_IN, make_round
from textual.content import Content
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import OptionList, Select, Static

from codeprune_tui import bundle
from codeprune_tui.playground import process as playground
from codeprune_tui.playground.history import history_file, read_history
from codeprune_tui.screens.help import sections
from codeprune_tui.screens.playground import PlaygroundScreen
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.widgets.editor import MOST_CHARACTERS, RubyEditor, editable
from codeprune_tui.widgets.opinion import Opinion, Waiting
from codeprune_tui.widgets.opinions import Opinions, Question
from core.evaluate.comment import comment_methods
from core.recipe import Search
from core.ruby import methods
from core.run.exchange import Loaded
from core.spec.quantizers import METHODS

ROOT = Path(__file__).resolve().parent.parent
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
TWO = "# Adds numbers.\ndef add(a, b)\n  a + b\nend\n\ndef twice(x) = x * 2\n"
SLACK_S = 30


@pytest.fixture(autouse=True)
def _no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in knows no round of the example run, which would be the second model where there is no run."""
    monkeypatch.setattr(bundle, "example", lambda: None)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A playground that answers at once, and where it writes what it hears."""
    heard = tmp_path / "heard.jsonl"
    monkeypatch.setattr(playground, "PLAYGROUND", STAND_IN)
    monkeypatch.setenv("HEARD", str(heard))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return heard


def checkpoints(tmp_path: Path, *runs: str) -> Path:
    folder = tmp_path / "checkpoints"
    for age, run in enumerate(runs):
        for number, sparsity in enumerate((0.0, 0.5, 0.9)):
            make_round(folder, run, number, sparsity, age=age)
    return folder


async def paste(app: CodepruneApp, text: str) -> None:
    app.screen.post_message(Paste(text))


async def go(app: CodepruneApp, pilot: "Pilot[None]") -> PlaygroundScreen:
    await pilot.press("5")
    await until(lambda: isinstance(app.screen, PlaygroundScreen) and app.screen.is_mounted)
    assert isinstance(app.screen, PlaygroundScreen)
    await until_shown(app, "[5 Playground]")
    return app.screen


def column(screen: PlaygroundScreen, number: int) -> Opinion:
    return screen.query_one(Opinions).columns[number - 1]


@pytest.mark.slow
@SIZES
async def test_a_newcomer_sees_a_comment_of_a_real_model(tmp_path: Path, size: tuple[int, int]) -> None:
    sample = methods((ROOT / "checkpoints/bundled/demo-ruby/test/game_dice.rb").read_text())[3]
    async with opened(tmp_path, size) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "method 4 of 18")
        await until_shown(app, "own comment: Adds up the highest results and the modifier.")
        await until_shown(app, "Loading")
        await until(lambda: column(screen, 1).best is not None, "no comment came", timeout_s=300)
        # The same, to the letter, as `codeprune-tui comment` writes.
        (expected,) = comment_methods(MODEL, [sample], Search(beam=10, max_length=64), device="cpu", threads=1)
        assert column(screen, 1).best == expected
        await until_shown(app, expected[:30])
        await until_shown(app, "tok/s")
        await until_shown(app, "BLEU")
        await until_shown(app, "(name ")
        assert re.search(r"−\d+\.\d\d ", shown(app)), "no alternative with its score"
        await until_shown(app, "ruby-mini-pretrained")


def underlined(comment: Content) -> list[str]:
    """The words that are told apart by more than a colour; not the line that explains it."""
    styled = [(comment.plain[span.start : span.end], str(span.style)) for span in comment.spans]
    return [text for text, style in styled if "underline" in style and text != "underlined"]


@SIZES
async def test_models_stand_side_by_side_with_their_differences(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1", "old"), size) as (app, pilot):
        screen = await go(app, pilot)
        await paste(app, TWO)
        await until_shown(app, "method 1 of 2")
        await until_shown(app, "own comment: Adds numbers.")
        await until_shown(app, "Returns the add of ruby-mini")
        await until_shown(app, "Returns the add of 02")
        await until_shown(app, "underlined: not in model 1")
        await until_shown(app, "underlined: not in model 2")
        comments = [column.query_one(Static).render() for column in screen.query(Opinion)]
        assert [underlined(comment) for comment in comments if isinstance(comment, Content)] == [["ruby-mini"], ["02"]]
        await until_shown(app, "0.50 s · 7 tok · 14 tok/s")
        await until_shown(app, "BLEU 31.2 (name 12.5)")
        await until_shown(app, "−1.50 (the one above)")
        await until_shown(app, "−2.00 Alternative 0")
        await until_shown(app, "ruby-1 r2 90 %" if size == SMALL else "ruby-1 · round 2 · 90 %")
        await pilot.press("n")
        await until_shown(app, "method 2 of 2")
        await until_shown(app, "Returns the twice of 02")
        await until_shown(app, "It has no comment of its own")
        assert "BLEU" not in shown(app).replace("no BLEU", "")
        await pilot.press("N")
        await until_shown(app, "Returns the add of 02")
        assert screen.query_one("#methods", OptionList).highlighted == 0
        await pilot.press("ctrl+n")
        await until(lambda: "Returns the" not in shown(app) and "differs" not in shown(app))
        assert column(screen, 1).best is None


@SIZES
async def test_up_to_four_models(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), size) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("plus")
        await until_shown(app, "model 3")
        await pilot.press("plus")
        await until_shown(app, "model 4")
        await until(lambda: column(screen, 4).best is not None or column(screen, 4).choice is None)
        assert [opinion.choice.path.rsplit("/", 1)[1] for opinion in screen.query(Opinion) if opinion.choice] == [
            "ruby-mini",
            "02",
            "ruby-mini-pretrained",
            "01",
        ]
        await pilot.press("plus")
        await until_shown(app, "At most 4 models stand side by side.")
        await pilot.press("minus", "minus", "minus")
        await until_shown(app, "At least 2 models stand side by side.")
        assert len(screen.query(Opinion)) == 2


async def test_another_model_is_asked_and_only_that_one(tmp_path: Path, stand_in: Path) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 1).best is not None and column(screen, 2).best is not None)
        column(screen, 2).query_one(Select).value = str(tmp_path / "checkpoints" / "ruby-1" / "rounds" / "01")
        await until_shown(app, "of 01")
        last = json.loads(stand_in.read_text().splitlines()[-1])
        assert [Path(variant["model"]).name for variant in last["models"]] == ["01"]
        assert (last["beam"], last["max_length"], last["n_best"]) == (10, 64, 5)
        await pilot.press("b")
        await until(lambda: json.loads(stand_in.read_text().splitlines()[-1])["beam"] == 1)
        assert json.loads(stand_in.read_text().splitlines()[-1])["n_best"] == 1


@SIZES
async def test_a_model_is_quantized_in_memory(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    assert len({method.title for method in METHODS.values()}) == len(METHODS), "every method has a name of its own"
    async with opened(checkpoints(tmp_path, "ruby-1"), size) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 1).best is not None and column(screen, 2).best is not None)
        await pilot.press("i")
        await until_shown(app, "How should column 2, ruby-1 · round 2 · 90 %, be quantized in memory?")
        await until_shown(app, "✗ not installed: pip [red]x[/] <1B>[2J")
        assert_harmless(shown(app))
        await pilot.press("down", "down", "down")
        await until_shown(app, "the paper's way")
        await pilot.press("enter")
        await until_shown(app, "2 ruby-1 r2 90 % · dynamic INT8" if size == SMALL else "2 ruby-1 · round 2 · 90 % · dynamic INT8")
        await until(lambda: column(screen, 2).best == "Returns the total of 02 dynamic-int8 .")
        variants = json.loads(stand_in.read_text().splitlines()[-1])["models"]
        assert [(Path(variant["model"]).name, variant["method"]) for variant in variants] == [("02", "dynamic-int8")]
        # The same model beside itself: each column keeps its own comment.
        column(screen, 1).query_one(Select).value = column(screen, 2).choice.path  # type: ignore[union-attr]
        await until(lambda: column(screen, 1).best == "Returns the total of 02 .")
        assert column(screen, 2).best == "Returns the total of 02 dynamic-int8 ."
        await pilot.press("y")
        await until_shown(app, "comments.txt")
        copied = (tmp_path / "state" / "codeprune-tui" / "copied" / "comments.txt").read_text()
        assert "ruby-1 · round 2 · 90 % · dynamic INT8: Returns the total of 02 dynamic-int8 ." in copied
        # A method that does not work here cannot be reached: the highlight passes over it.
        await pilot.press("i")
        await until_shown(app, "✗ not installed")
        await pilot.press("up", "up", "up", "up", "up", "enter")
        await until(lambda: column(screen, 2).method != "dynamic-int8")
        assert column(screen, 2).method == "int8-w8a8"


async def test_a_folder_that_is_quantized_already_says_so(tmp_path: Path, stand_in: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"quantization": "int8-weight"}')
    async with opened(tmp_path, SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("o")
        await until_shown(app, "Which model")
        await pilot.press(*str(tmp_path / "mine"), "enter")
        await until(lambda: column(screen, 2).best == "Returns the total of mine .")
        await until_shown(app, "INT8 weight-only")
        assert str(column(screen, 2).border_title).endswith(" · INT8 weight-only")
        await pilot.press("i")
        await until_shown(app, "✗ its folder holds it quantized already")
        assert "abilities" not in stand_in.read_text(), "nobody needs to find out what the device could do"
        await pilot.press("escape")
        await until(lambda: app.screen is screen)


async def test_a_failing_quantization_leaves_the_other_column(tmp_path: Path, stand_in: Path) -> None:
    folder = checkpoints(tmp_path)
    rounds = make_round(folder, "ruby-1", 0, 0.5).parent
    (rounds / "00").rename(tmp_path / "no-dynamic")
    (rounds / "00").symlink_to(tmp_path / "no-dynamic")
    async with opened(folder, SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 1).best is not None and column(screen, 2).best is not None)
        first = column(screen, 1).best
        await pilot.press("i")
        await until_shown(app, "✗ not installed")
        await pilot.press("down", "down", "down", "enter")
        await until_shown(app, "✗ no-dynamic dynamic-int8")
        assert column(screen, 1).best == first


async def test_a_failing_model_leaves_the_other(tmp_path: Path, stand_in: Path) -> None:
    folder = checkpoints(tmp_path)
    rounds = make_round(folder, "ruby-1", 0, 0.5).parent
    (rounds / "00").rename(tmp_path / "fail")
    (rounds / "00").symlink_to(tmp_path / "fail")
    async with opened(folder, SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "✗ fail cannot be loaded. Choose")
        await until(lambda: column(screen, 1).best is not None)


async def test_a_crash_is_told_and_r_starts_again(tmp_path: Path, stand_in: Path) -> None:
    folder = checkpoints(tmp_path)
    rounds = make_round(folder, "ruby-1", 0, 0.5).parent
    (rounds / "00").rename(tmp_path / "crash")
    (rounds / "00").symlink_to(tmp_path / "crash")
    async with opened(folder, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "The playground process left with exit code 3. Press r to start it again.")
        await until_shown(app, "Traceback: out of <1B>[31mmemory")
        assert_harmless(shown(app))
        column(screen, 2).choose(None)
        await pilot.press("r")
        await until_shown(app, "Returns the total of ruby-mini")


async def test_typing_changes_the_methods(tmp_path: Path, stand_in: Path) -> None:
    async with opened(tmp_path, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "method 4 of 18")
        await pilot.press("ctrl+n")
        await until_shown(app, "Paste or type Ruby")
        assert screen.query_one(RubyEditor).has_focus
        await pilot.press(*"def q5", "enter", *"end")
        await until_shown(app, "method 1 of 1")
        await until_shown(app, "Returns the q5 of ruby-mini")
        assert app.current_mode == "playground", "digits and q are text in the editor"
        await pilot.press("enter", *"def (")
        await until_shown(app, "! line 3")
        await pilot.press("escape")
        await until(lambda: screen.query_one("#methods").has_focus)
        await pilot.press("1")
        await until_shown(app, "[1 Runs]")


async def test_a_new_question_asks_again_for_whoever_still_waits(tmp_path: Path, stand_in: Path) -> None:
    folder = checkpoints(tmp_path)
    rounds = make_round(folder, "ruby-1", 0, 0.5).parent
    (rounds / "00").rename(tmp_path / "slow")
    (rounds / "00").symlink_to(tmp_path / "slow")
    async with opened(folder, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 1).best is not None and isinstance(column(screen, 2).state, Waiting))
        await pilot.press("plus")  # its request breaks off the one that the second column waits for

        def asked() -> list[str]:
            return [
                Path(variant["model"]).name for variant in json.loads(stand_in.read_text().splitlines()[-1]).get("models", [])
            ]

        await until(lambda: asked() == ["slow", "ruby-mini-pretrained"])


async def test_no_question_goes_out_about_a_text_that_is_still_being_read(tmp_path: Path, stand_in: Path) -> None:
    async with opened(tmp_path, SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 1).best is not None)

        def asked() -> int:
            question = column(screen, 1).question
            assert isinstance(question, Question)
            return question.reading

        before = asked()
        screen._read()
        screen._ask()  # in the same turn of the loop: the methods of the new text cannot have come
        assert asked() == before
        await until(lambda: asked() == screen._talk.reading)


async def test_the_cursor_chooses_the_method(tmp_path: Path, stand_in: Path) -> None:
    async with opened(tmp_path, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await paste(app, TWO)
        await until_shown(app, "method 1 of 2")
        await pilot.press("e")
        screen.query_one(RubyEditor).move_cursor((5, 0))
        await until_shown(app, "method 2 of 2")
        await until_shown(app, "Returns the twice of ruby-mini")


@SIZES
async def test_a_text_of_ten_megabytes_in_one_line(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    huge = "def a(x) x + 1 end; " * 500_000
    async with opened(tmp_path, size) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "method 4 of 18")
        await paste(app, huge)
        await until_shown(app, "10,000,000 characters")
        await pilot.press("1")  # keys work while it is read
        await until_shown(app, "[1 Runs]")
        await pilot.press("5")
        await until(lambda: "method 1 of 2,000" in shown(app), "it was never read", timeout_s=120)
        await until_shown(app, "characters were not read")
        await until_shown(app, "Returns the a of ruby-mini")
        assert len(screen.query_one(RubyEditor).text) < MOST_CHARACTERS
        await pilot.press("e")
        await until_shown(app, "This text is too large")
        await pilot.press("ctrl+n")
        await until_shown(app, "Paste or type Ruby")


async def test_a_large_paste_into_the_editor_is_taken_as_a_whole(tmp_path: Path, stand_in: Path) -> None:
    async with opened(tmp_path, SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "method 4 of 18")
        await pilot.press("e")
        screen.query_one(RubyEditor).post_message(Paste("def a(x) x + 1 end\r\n" * 5_000))
        await until_shown(app, "method 1 of 2,000")
        await until_shown(app, "only 2,000 of 5,000 methods are listed")
        assert screen.query_one(RubyEditor).read_only
        screen.query_one(RubyEditor).post_message(Paste(TWO))
        await until_shown(app, "own comment: Adds numbers.")
        assert not screen.query_one(RubyEditor).read_only


@pytest.mark.parametrize("evil", [*EVIL, "\x00" * 50, "\u2028\x0b\x0c\x1c\x85", "\u202e\u2066x\u2069"])
async def test_hostile_ruby(tmp_path: Path, stand_in: Path, evil: str) -> None:
    hostile = f"# {evil} own\ndef evil(a = '{evil}')\n  {evil}\nend\n\n\t# {evil}\nclass {evil}; def evil2; end; end\n"
    async with opened(tmp_path, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await paste(app, hostile)
        await until_shown(app, "method 1 of")
        await until_shown(app, "[red]x[/] [@click=app.quit]y[/] <1B>]0;title<07> <202E>abc <00><9B>31m<7F>")
        await until_shown(app, "Alternative <1B>[2J [red]x[/]")
        assert_harmless(shown(app))
        await pilot.press("y")
        await until_shown(app, "comments.txt")
        assert_harmless(shown(app))
        before = screen.query_one(RubyEditor).text
        await pilot.press("e", "x", "down", "down", "end", "y")
        await until(lambda: len(screen.query_one(RubyEditor).text) == len(before) + 2)
        await until_shown(app, "method")
        assert_harmless(shown(app))
        await pilot.click("#editor", offset=(12, 2))
        await pilot.click("#own", offset=(16, 0))
        await pilot.click(Opinion, offset=(4, 2))
        assert app.is_running


async def test_names_of_models_are_text(tmp_path: Path, stand_in: Path) -> None:
    folder = checkpoints(tmp_path, "ruby-1")
    (folder / "ruby-1").rename(folder / "[red]\x1b[2Jx")
    async with opened(folder, LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until_shown(app, "[red]<1B>[2Jx · round 2 · 90 %")
        column(screen, 2).query_one(Select).action_show_overlay()
        await until_shown(app, "[red]<1B>[2Jx · round 0 · 0 %")
        assert_harmless(shown(app))


async def test_copy_writes_a_file_and_tells_the_terminal(tmp_path: Path, stand_in: Path) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await paste(app, TWO)
        await until(lambda: column(screen, 2).best == "Returns the add of 02 .")
        await pilot.press("y")
        await until_shown(app, "comments.txt")
        copied = tmp_path / "state" / "codeprune-tui" / "copied" / "comments.txt"
        text = "ruby-mini: Returns the add of ruby-mini .\nruby-1 · round 2 · 90 %: Returns the add of 02 ."
        assert copied.read_text() == f"{text}\n"
        assert app.clipboard == text
        column(screen, 2).query_one("VerticalScroll").focus()
        await pilot.press("y")
        await until(lambda: copied.read_text() == "Returns the add of 02 .\n")


async def test_it_works_beside_a_run_and_new_rounds_appear(tmp_path: Path, stand_in: Path) -> None:
    paths, _ = make_run(tmp_path, "ruby-1", whole_run("ruby-1"))
    with live(paths):
        async with opened(tmp_path, LARGE) as (app, pilot):
            screen = await go(app, pilot)
            await until(lambda: column(screen, 1).best is not None)
            chosen = column(screen, 2).choice
            assert chosen is not None
            assert chosen.label == "ruby-mini-pretrained", "no round has weights yet"
            (paths.round(3) / "model.safetensors").touch()
            screen.show_news()
            await until(lambda: any("round 3 · 90 %" in choice.label for choice in screen.query_one(Opinions).known))
            column(screen, 2).query_one(Select).value = str(paths.round(3))
            await until_shown(app, "Returns the total of 03")


async def test_leaving_waits_for_no_thread(tmp_path: Path, stand_in: Path) -> None:
    before = set(threading.enumerate())
    async with opened(checkpoints(tmp_path, "ruby-1")) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        waited_for = [thread.name for thread in set(threading.enumerate()) - before if not thread.daemon]
        assert waited_for == [], "a disk that does not answer would hold up the end of the app"


@pytest.mark.parametrize("part", ["#source", "#own", "#opinions"])
async def test_a_reply_that_comes_while_the_app_ends_finds_no_widgets(tmp_path: Path, stand_in: Path, part: str) -> None:
    async with opened(tmp_path) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await screen.query_one(part).remove()  # one after the other, before their screen
        screen._hear(Loaded(id=0, model=MODEL, seconds=1.0, parameters=1000))


async def test_it_says_where_it_computes_and_why_not_on_the_gpu(tmp_path: Path, stand_in: Path) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), SMALL) as (app, pilot):
        app.playground_device = "cuda:1"
        screen = await go(app, pilot)
        assert screen._playground.device == "cuda:1"
        await until(lambda: column(screen, 2).best is not None)
        news = Loaded(id=0, model=MODEL, seconds=1.0, parameters=1, device="cpu", warning="The driver\x1b sees a GPU.")
        screen._hear(news)
        screen._hear(news)
        await until_shown(app, "The Playground computes on the CPU. The driver<1B> sees a GPU.")
        assert shown(app).count("computes on the CPU") == 1, "once, however many models it is said of"


@SIZES
async def test_a_model_by_its_folder_or_hub_name(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    (tmp_path / "[red]mine").mkdir()
    async with opened(checkpoints(tmp_path, "ruby-1"), size) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("o")
        await until_shown(app, "Which model for column 2?")
        await pilot.press("enter")
        await until_shown(app, "Type a folder or a name.")
        await pilot.press(*str(tmp_path / "[red]mine"), "enter")
        await until_shown(app, "of [red]mine")
        screen.show_news()
        await pilot.press("plus", "o")
        await until_shown(app, "Which model for column 3?")
        await pilot.press(*"who/fails-always", "enter")
        await until_shown(app, "✗ fails-always cannot be loaded.")
        assert column(screen, 1).best is not None


async def test_the_column_with_the_focus_is_taken_away(tmp_path: Path, stand_in: Path) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), LARGE) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("plus")
        await until_shown(app, "model 3")
        column(screen, 1).query_one("VerticalScroll").focus()
        await pilot.press("minus")
        await until(lambda: len(screen.query_one(Opinions).columns) == 2)
        labels = [opinion.choice.label for opinion in screen.query(Opinion) if opinion.choice]
        assert labels == ["ruby-1 · round 2 · 90 %", "ruby-mini-pretrained"]
        assert [opinion.number for opinion in screen.query(Opinion)] == [1, 2]


@SIZES
async def test_what_was_tried_can_be_taken_up_again(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), size) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("h")
        await until_shown(app, "The history is empty")  # the sample does not count
        await paste(app, TWO)
        await until(lambda: column(screen, 2).best == "Returns the add of 02 .")
        await pilot.press("n")
        await until(lambda: column(screen, 2).best == "Returns the twice of 02 .")
        await until(lambda: len(read_history(history_file())) == 2)
        await paste(app, "def other; end")
        await until_shown(app, "Returns the other of 02")
        await until(lambda: len(read_history(history_file())) == 3)
    async with opened(checkpoints(tmp_path), size) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        await pilot.press("h")
        await until_shown(app, "twice: Returns the twice of ruby-mini")
        await pilot.press("down", "enter")
        await until_shown(app, "method 2 of 2")
        await until(lambda: column(screen, 1).best == "Returns the twice of ruby-mini .")


@SIZES
async def test_in_help_and_the_palette(tmp_path: Path, stand_in: Path, size: tuple[int, int]) -> None:
    assert "Show the next method" in dict(dict(sections({}))["5 Playground"]).values()
    async with opened(tmp_path, size) as (app, pilot):
        await go(app, pilot)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Playground", "Beam", "Copy", "Model", "Restart"} <= titles
        await pilot.press("question_mark")
        await until_shown(app, "5 Playground")
        await until_shown(app, "Show the next method")


async def test_every_size_and_no_colour(tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(checkpoints(tmp_path, "ruby-1"), SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await until(lambda: column(screen, 2).best is not None)
        for width, height in ((160, 48), (61, 17), (59, 15), (200, 20), (1, 1), (60, 50), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await until_shown(app, "Returns the total of 02")
        app.theme = "textual-light"
        await until(lambda: screen.query_one(RubyEditor).theme == "ruby-light")


def test_what_can_be_edited() -> None:
    assert editable("")
    assert editable(("x" * 100 + "\n") * 500)
    assert not editable("x" * 3000)
    assert not editable("x\n" * MOST_CHARACTERS)


# Leaving, in a real terminal with the real process


@pytest.fixture
def playing(tmp_path: Path) -> tuple[Terminal, psutil.Process]:
    program = f"from pathlib import Path; from codeprune_tui.app import run_app; run_app(Path({str(tmp_path)!r}))"
    terminal = Terminal([sys.executable, "-c", program], SMALL, ROOT)
    terminal.until("No runs yet").send("5").until("method 4 of 18", "Loading")
    children = psutil.Process(terminal.process.pid).children()
    (process,) = [child for child in children if "core.playground" in child.cmdline()]
    return terminal, process


def gone(process: psutil.Process) -> Callable[[], bool]:
    return lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SLACK_S
    while not condition():
        assert time.monotonic() < end, "the playground has outlived the app"
        time.sleep(0.05)


def test_q_takes_the_process_along(playing: tuple[Terminal, psutil.Process]) -> None:
    terminal, process = playing
    assert terminal.send("q").ended() == 0
    wait_for(gone(process))


def test_a_hang_up_takes_the_process_along(playing: tuple[Terminal, psutil.Process]) -> None:
    terminal, process = playing
    os.close(terminal.process.child_fd)  # the kernel sends SIGHUP, as when a connection drops
    wait_for(gone(process))
    wait_for(lambda: os.waitpid(terminal.process.pid, os.WNOHANG)[0] == terminal.process.pid)
    terminal.process.closed, terminal.process.child_fd, terminal.process.terminated = True, -1, True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_takes_the_process_along(playing: tuple[Terminal, psutil.Process], number: signal.Signals) -> None:
    terminal, process = playing
    os.kill(terminal.process.pid, number)
    terminal.ended()
    wait_for(gone(process))


async def test_a_long_warning_can_be_read_to_its_end_at_80_columns(tmp_path: Path, stand_in: Path) -> None:
    async with opened(checkpoints(tmp_path, "ruby-1"), SMALL) as (app, pilot):
        screen = await go(app, pilot)
        await paste(app, f"# {'Adds numbers to others. ' * 20}\n{TWO[15:]}")
        await until_shown(app, "method 1 of 2")
        method = screen._ruby.method
        warning = f"{'what is wrong here ' * 9}and its end"
        screen._warnings = [warning, "another"]
        screen._show_titles()
        await until_shown(app, "(and 1 more)")
        assert method is not None
        await until_shown(app, "and its end")
