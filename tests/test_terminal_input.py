"""A paste is one piece: marked or not, large or damaged, whole or cut anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual._parser import Parser
from textual.events import Key, Paste, Resize
from textual.message import Message

from codeprune_tui.terminal.input import PasteParser

START, END = "\x1b[200~", "\x1b[201~"
RUBY = "def add(a, b)\r  a + b\rend\r# quit, Kill and some more letters, so that nobody can have typed it\r"


def fed(*pieces: str, quiet: bool = False) -> list[Message]:
    parser = PasteParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    return [*messages, *(parser.quiet() if quiet else ())]


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


# --- what no terminal should send ------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from(["\x1b", "\x1b[", "\x1bO", "\x1b[<", "\x1b[?", "\x1b]", "\x1bP", START, END, "\x1b[48;", ":", ";", "M", "m"]),
    st.sampled_from(list("ABCDEFHPQRSuctyIO~$0123456789-<>=?:; q\r\n\x00\x7f\x9b")),
    st.integers(-1, 10**30).map(str),
    st.text(max_size=3),
)


@given(st.lists(PIECES, max_size=40).map("".join), st.integers(1, 20))
@settings(max_examples=500, deadline=None)
def test_no_bytes_end_the_parser(data: str, size: int) -> None:
    """Whatever comes, and wherever it is cut, the key after it is still that key."""
    parser = PasteParser()
    for at in range(0, len(data), size):
        for message in parser.feed(data[at : at + size]):
            assert not isinstance(message, Resize) or message.size.width * message.size.height <= 2_000_000
    list(parser.quiet())
    # Ends a paste, a string, a sequence and a lone escape, in whichever of them the data left the parser.
    rest = [*parser.feed(END), *parser.feed("." * 40), *parser.quiet(), *parser.feed("\x1b[A")]
    assert said(rest)[-1] == "up"


@pytest.mark.parametrize(
    "odd",
    [
        "\x1b[:A",
        "\x1b[;;;A",
        "\x1b[99999999999999u",
        "\x1b[97;1;1114112u",
        "\x1b[97;1:2:3:4u",
        "\x1b[97:65:;1u\x1b[:u",
        "\x1b[" + "9" * 28 + "R",
        "\x1b[48;99999999;99999999;9;9t",
        "\x1b[48;0;0;0;0t",
    ],
)
def test_a_sequence_that_cannot_be_costs_no_other_key(odd: str) -> None:
    keys = said(fed("j", f"{odd}k\x1b[B", quiet=True))
    assert (keys[0], keys[-2:]) == ("j", ["k", "down"])


@pytest.mark.parametrize(
    ("sequence", "keys"),
    [
        ("\x1b[97;1:1u", ["a"]),
        ("\x1b[97;1:2u", ["a"]),  # it repeats itself
        ("\x1b[97;1:3u", []),  # it is let go
        ("\x1b[97;5:1u\x1b[97;5:3u", ["ctrl+a"]),
        ("\x1b[1;1:1A\x1b[1;1:3A", ["up"]),
        ("\x1b[1;2:1A", ["shift+up"]),
        ("\x1b[3;1:1~\x1b[3;1:3~", ["delete"]),
        ("\x1b[97:65;1u", ["a"]),
    ],
)
def test_key_events_of_kitty(sequence: str, keys: list[str]) -> None:
    assert said(fed(sequence)) == keys
