"""The columns of the playground: two to four models beside each other, and which of them still have to be asked.

Knows no process and no editor: the columns take questions and replies, and say which models to ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Grid

from core.run.exchange import Commented, ModelFailed, Variant

from ..runs.models import Choice, default_pair
from ..views.plain import plain
from .opinion import Opinion, State, Waiting

FEWEST, MOST = 2, 4
"""Models side by side."""


@dataclass(frozen=True)
class Question:
    """The question to the columns: answers to another question are out of date."""

    reading: int
    method: int
    beam: int


class Opinions(Grid):
    """The columns."""

    DEFAULT_CSS = """
    Opinions { height: 13; grid-gutter: 0 1; grid-size: 2; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.known: list[Choice] = []
        self._typed: list[Choice] = []
        """Models by path or hub name; nobody lists them."""
        self._listed: list[Choice] | None = None

    def compose(self) -> ComposeResult:
        """The fewest."""
        for number in range(1, FEWEST + 1):
            yield Opinion(number)

    @property
    def columns(self) -> list[Opinion]:
        """From left to right."""
        return list(self.query(Opinion))

    @property
    def focused(self) -> Opinion | None:
        """The column with the focus, if one has it."""
        widget = self.screen.focused
        return None if widget is None else next((column for column in self.columns if column in widget.ancestors), None)

    def offer(self, listed: list[Choice]) -> bool:
        """Offers other models in all columns, beside those that were typed; the first time puts two in.

        Returns:
            Whether this was the first time.
        """
        begun, changed = self._listed is None, listed != self._listed
        if changed:
            self._listed = listed
            paths = {choice.path for choice in listed}
            self.known = [*listed, *(typed for typed in self._typed if typed.path not in paths)]
            self.fit()
        if begun:
            for column, choice in zip(self.columns, default_pair(listed), strict=False):
                column.choose(choice)
        return begun

    def fit(self) -> None:
        """Fits the columns to the terminal's width."""
        columns, width = self.columns, self.app.size.width
        across = len(columns) if width >= 120 else 2
        self.styles.grid_size_columns = across
        for column in columns:
            column.offer(self.known, width / across < 60)

    async def more(self) -> None:
        """Adds a column, with the first model that none of the others has."""
        columns = self.columns
        shown = {column.choice.path for column in columns if column.choice is not None}
        new = Opinion(len(columns) + 1)
        await self.mount(new)
        self.fit()
        new.choose(next((choice for choice in self.known if choice.path not in shown), None))

    async def fewer(self) -> None:
        """Removes a column: that with the focus, or the last one."""
        await (self.focused or self.columns[-1]).remove()
        for number, column in enumerate(self.columns, 1):
            column.number = number
        self.fit()

    def take(self, choice: Choice) -> None:
        """Puts a model that was typed into the column with the focus, or into the last one."""
        self._typed = [*(typed for typed in self._typed if typed.path != choice.path), choice]
        self.known = [*(known for known in self.known if known.path != choice.path), choice]
        (self.focused or self.columns[-1]).choose(choice)
        self.fit()

    def ask(self, question: Question, now: float) -> list[Variant]:
        """Makes the columns wait whose comment is not about the question.

        Args:
            question: The present question.
            now: Seconds since 1970.

        Returns:
            The models of these columns.
        """
        if all(column.choice is None or _is_asked(column, question) for column in self.columns):
            return []
        # A new request breaks off the one that some columns still wait for: it has to ask for these once more.
        waiting = [column for column in self.columns if column.choice is not None and not _answered(column, question)]
        for column in waiting:
            column.question = question
            if not isinstance(column.state, Waiting):
                column.state = Waiting("Waiting for its turn…", now)
        return list(dict.fromkeys(column.variant for column in waiting if column.variant is not None))

    def set(self, variant: Variant, state: State) -> None:
        """Shows a model's state in every column that has it."""
        for column in self.columns:
            if column.variant == variant:
                column.state = state

    def lose(self, why: str) -> None:
        """Shows that the process is gone, and no model will answer."""
        for column in self.columns:
            column.question, column.state = None, why

    def clear(self) -> None:
        """Clears the comments: their text is gone."""
        for column in self.columns:
            column.question = column.state = None
            column.show(None, 0.0)

    def show(self, now: float) -> None:
        """Shows all columns: two mark their differences from each other, more than two those from the first."""
        columns = self.columns
        for column in columns:
            first = column is columns[0]
            other = columns[1] if first and len(columns) == FEWEST else None if first else columns[0]
            column.show(None if other is None else other.best, now, 0 if other is None else other.number)

    def count_seconds(self, now: float) -> None:
        """Shows the seconds of work in progress."""
        for column in self.columns:
            if isinstance(column.state, Waiting):
                column.show(None, now)

    def written(self, columns: Sequence[Opinion] | None = None) -> list[tuple[str, str]]:
        """Names of models with the comments they wrote, both as text to show."""
        shown = self.columns if columns is None else columns
        return [(column.label, plain(column.best)) for column in shown if column.choice and column.best]


def _is_asked(column: Opinion, question: Question) -> bool:
    return column.question == question and isinstance(column.state, Commented | ModelFailed | Waiting)


def _answered(column: Opinion, question: Question) -> bool:
    return column.question == question and isinstance(column.state, Commented | ModelFailed)
