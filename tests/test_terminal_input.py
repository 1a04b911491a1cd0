"""A paste is one piece: marked or not, large or damaged, whole or cut anywhere."""

import pytest
from textual._parser import Parser
from textual.events import Key, Paste
from textual.message import Message

from codeprune_tui.terminal_input import PasteParser

START, END = "\x1b[200~", "\x1b[201~"
RUBY = "def add(a, b)\r  a + b\rend\r# quit, Kill and some more letters, so that nobody can have typed it\r"


def fed(*pieces: str, quiet: bool = False) -> list[Message]:
    parser = PasteParser()
    found = [message for piece in pieces for message in parser.feed(piece)]
    return [*found, *(parser.quiet() if quiet else ())]


def said(messages: list[Message]) -> list[str]:
    return [
        message.text if isinstance(message, Paste) else message.key for message in messages if isinstance(message, Paste | Key)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 4096])
def test_a_marked_paste_cut_anywhere(size: int) -> None:
    data = f"n{START}{RUBY}\x1b]0;title\x07\x1b[31m{END}q"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert said(fed(*pieces)) == ["n", f"{RUBY}\x1b]0;title\x07\x1b[31m", "q"]


def test_the_letters_of_a_large_paste_never_reach_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = []
    feed = Parser.feed
    monkeypatch.setattr(Parser, "feed", lambda self, data: slow.append(len(data)) or feed(self, data))
    text = "x = 1; " * 1_500_000
    data = f"a{START}{text}{END}b"
    assert said(fed(*(data[at : at + 65536] for at in range(0, len(data), 65536)))) == ["a", text, "b"]
    assert sum(slow) == 2


def test_a_paste_without_marks_is_no_keys() -> None:
    assert said(fed(RUBY, "q\x1b[A", "q", quiet=True)) == [f"{RUBY}q\x1b[Aq"]


def test_an_escape_key_is_held_only_for_a_moment() -> None:
    parser = PasteParser()
    assert list(parser.feed("\x1b")) == []
    assert list(parser.quiet()) == []
    assert said(list(parser.feed("[A"))) == ["up"]  # with Textual's own parser by now, which waits for its own moment


def test_what_is_typed_is_typed() -> None:
    assert said(fed("q", "jjjjjj", "\x1b[A" * 40, "n" * 100, quiet=True)) == ["q", *"jjjjjj", *["up"] * 40, *"n" * 100]
