"""The terminal's input: Textual's driver, except that a paste is one piece, however large it is and however it is marked.

Textual's parser takes a paste letter by letter, which costs seconds for some megabytes, and turns escapes inside of one into
key presses; its driver gives up on bytes that are no UTF-8. A terminal without bracketed paste sends a paste as if it had been
typed, so that its letters would act as keys. Here the text between the brackets never reaches that parser, and what arrives in
one go without brackets is a paste as well. Knows no screens. Follows `textual.drivers.linux_driver`.
"""

import os
import re
import selectors
from codecs import getincrementaldecoder
from collections.abc import Iterable

from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key, Paste, Resize
from textual.geometry import Size
from textual.keys import Keys
from textual.message import Message

READ_BYTES = 64 * 1024
MOST_PASTED = 64_000_000
"""Most characters of one paste that are kept: more than the app ever reads of a text; the rest would only take memory."""
TYPED_AT_ONCE, TYPED_LETTERS = 64, 8
"""Letters that nobody can type between two reads; a held key repeats itself, so a paste must have several different ones."""
EXTENDED_KEY = re.compile(r"\x1b\[(\d+(?::\d*)*);(\d*(?::\d*)?)(;[\d:]*)?([u~A-Z])")
"""kitty's keyboard protocol: key and its alternates, modifiers and type of event, text; the end.

Source: https://sw.kovidgoyal.net/kitty/keyboard-protocol/
"""
MOST_CELLS = (2000, 1000)
"""Most columns and lines; no terminal reports more, and they would cost memory."""
QUIET_S = 0.1
"""Seconds without input after which an unmarked paste ends."""


class PasteParser(XTermParser):
    """Textual's parser for all but pastes."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._pasted: list[str] | None = None
        self._size = 0
        self._end = BRACKETED_PASTE_END
        """The mark that ends the paste; "" if only a pause does."""
        self._tail = ""
        self._held = ""
        """The end of what was read, if a mark may begin there: Textual's parser must never see one."""

    def feed(self, data: str) -> Iterable[Message]:
        """Takes the text that was read; returns the messages that it means."""
        data, self._held = self._held + data, ""
        while data:
            if self._pasted is not None:
                data, ended = self._take(data)
                if ended:
                    yield self._paste()
                continue
            before, start, rest = data.partition(BRACKETED_PASTE_START)
            if not start and _is_paste(before):
                self._begin("")
                continue
            if not start:
                before, self._held = _without_beginning(before)
            if before:
                yield from self._keys_of(before)
            if start:
                self._begin(BRACKETED_PASTE_END)
            data = rest

    def quiet(self) -> Iterable[Message]:
        """Nothing has come for a moment: an unmarked paste is complete, and what began like a mark is a key."""
        if self._pasted is not None and not self._end:
            yield self._paste()
        if self._held:
            held, self._held = self._held, ""
            yield from self._keys_of(held)

    def tick(self) -> Iterable[Message]:
        """Time has passed: what began like a sequence may be keys."""
        yield from self._guarded(super().tick())

    def _keys_of(self, text: str) -> Iterable[Message]:
        """What Textual's parser makes of a text; letter by letter, so that one sequence too odd for it costs no other."""
        for letter in text:
            yield from self._guarded(super().feed(letter))

    def _guarded(self, messages: Iterable[Message]) -> Iterable[Message]:
        """The messages that can be; where the parser fails, it begins anew behind what it failed on."""
        try:
            for message in messages:
                if isinstance(message, Resize) and not _is_size(message.size):
                    self.terminal_size, self.terminal_pixel_size, self.mouse_pixels = None, None, False
                else:
                    yield message
        except Exception:  # whatever it is: of bytes that anything may have sent, none may end the app
            tokens = [token for token in self._tokens if not isinstance(token, Resize)]
            self._tokens.clear()
            self._gen = self.parse(self._tokens.append)
            self._awaiting, self._timeout_time = next(self._gen), None
            yield from tokens

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        """As Textual, which knows nothing of kitty's types of key events and alternate keys: a release is no key."""
        if ":" in sequence and (extended := EXTENDED_KEY.fullmatch(sequence)):
            code, modifiers, text, end = extended.groups(default="")
            pressed, _, kind = modifiers.partition(":")
            if kind.startswith("3"):
                return [Key(Keys.Ignore, None)]
            sequence = f"\x1b[{code.partition(':')[0]};{pressed or 1}{text}{end}"
        return super()._sequence_to_key_events(sequence, alt)

    def _begin(self, end: str) -> None:
        self._pasted, self._size, self._end, self._tail = [], 0, end, ""

    def _take(self, data: str) -> tuple[str, bool]:
        """Adds to the paste; returns what comes after it, and whether it has ended."""
        if not self._end:
            self._keep(data)
            return "", False
        data = self._tail + data
        text, end, rest = data.partition(self._end)
        self._tail = ""
        if not end:  # the mark may come in two pieces
            cut = max(0, len(text) - len(self._end) + 1)
            text, self._tail = text[:cut], text[cut:]
        self._keep(text)
        return rest, bool(end)

    def _keep(self, text: str) -> None:
        assert self._pasted is not None
        if text and self._size < MOST_PASTED:
            self._pasted.append(text[: MOST_PASTED - self._size])
        self._size += len(text)

    def _paste(self) -> Paste:
        text, self._pasted = "".join(self._pasted or ()), None
        return Paste(text.replace("\x00", ""))


def _is_size(size: Size) -> bool:
    """Whether a terminal can have so many cells."""
    return 0 < size.width <= MOST_CELLS[0] and 0 < size.height <= MOST_CELLS[1]


def _without_beginning(text: str) -> tuple[str, str]:
    """A text less what may be the beginning of the mark at its end, and that beginning."""
    for length in range(min(len(text), len(BRACKETED_PASTE_START) - 1), 0, -1):
        if BRACKETED_PASTE_START.startswith(text[-length:]):
            return text[:-length], text[-length:]
    return text, ""


def _is_paste(text: str) -> bool:
    """Whether so much plain text has come at once that nobody can have typed it."""
    longest = max(text.split("\x1b"), key=len)
    return len(longest) >= TYPED_AT_ONCE and len(set(longest)) >= TYPED_LETTERS


class PastingDriver(LinuxDriver):
    """Textual's driver with that parser."""

    def start_application_mode(self) -> None:
        """Takes the terminal, at the start or back from a shell: whatever the app has painted is gone."""
        if (painted := getattr(self._app, "painted", None)) is not None:
            painted.forget()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def run_input_thread(self) -> None:
        """Reads until the app leaves or the terminal is gone."""
        parser, decode = PasteParser(self._debug), getincrementaldecoder("utf-8")("replace").decode
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if not selector.select(QUIET_S):
                    self._pass_on(parser.quiet())
                elif data := os.read(self.fileno, READ_BYTES):
                    self._pass_on(parser.feed(decode(data)))
                else:
                    break  # the end of input: whoever watches for a hang-up leaves
                self._pass_on(parser.tick())

    def _run_input_thread(self) -> None:
        """Reads; what it cannot go on after ends the app, with a report."""
        try:
            self.run_input_thread()
        except OSError:
            return  # the terminal is gone: whoever watches for a hang-up leaves
        except Exception as error:
            fail = getattr(self._app, "fail", None)
            if fail is not None:
                self._app.call_later(fail, error)

    def _pass_on(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.process_message(message)
