"""Mode 1: every run folder with its state, and the keys that command the marked runs, or the run or sweep under the cursor.

The screen shows the list that the app keeps, filtered and sorted, the runs of a sweep as a group; what a filter lets through is
one flat list. The cursor stays on its line whatever comes and goes.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import ScreenResume
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from core.errors import CodepruneError, RunError
from core.recipe import load_recipe
from core.run import manage
from core.run.folder import RunInfo, RunPaths, is_held

from .. import bundle
from ..frame import Frame, publish
from ..runs import client
from ..runs.preview import Previewer
from ..views.bundle_text import bundled
from ..views.comparison import MOST
from ..views.plain import plain
from ..views.run_columns import place_of, states_of
from ..views.run_filter import EXAMPLES, Filter, FilterError, parse
from ..views.run_order import ORDERS
from ..views.shorten import path_end
from ..views.state import RunView
from ..views.sweep_groups import FOLDED_FROM, Standing, details, groups_of
from ..views.text import count
from ..widgets.runpreview import RunPreview
from ..widgets.runtable import RunTable
from ..widgets.telling import retitle, tell
from . import sweep_keys
from .ask import Choose, Confirm, Enter
from .mode import ModeScreen, Target
from .runs_keys import LIST_KEYS


class Previewed(Message):
    """The results of the run under the cursor were read; newer news replace older ones that wait."""

    def __init__(self, paths: RunPaths, view: RunView) -> None:
        super().__init__()
        self.paths = paths
        self.view = view

    def can_replace(self, message: Message) -> bool:
        """Whether the other one need not be handled any more."""
        return isinstance(message, Previewed)


Command = Callable[[RunPaths], None]
TALL = 36
"""Lines of a terminal from which on results of the chosen run have panes of their own."""

EMPTY = Content.assemble(
    ("No runs yet.\n\n", "bold"),
    "A run prunes a code-to-text model in rounds and measures every round.\n\nPress ",
    ("6", "bold"),
    " to start one, ",
    ("d", "bold"),
    " to try it on the bundled model and data, or ",
    ("?", "bold"),
    " for all keys.\n\n",
    ("Runs are folders below ", "$text-muted"),
)


class RunsScreen(ModeScreen):
    """The list of runs."""

    MODE = "runs"
    AUTO_FOCUS = "DataTable"
    BINDINGS: ClassVar[list[BindingType]] = [*LIST_KEYS]

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, RunInfo] = {}
        self._marks: set[str] = set()
        self._folded: dict[str, bool] = {}
        """Sweep -> whether the user folded or unfolded it."""
        self._grouped: tuple[list[RunInfo] | None, dict[str, Standing]] = (None, {})
        """A list of runs, and its sweeps."""
        self._filter = Filter()
        self._starting = False
        self._previewer = Previewer(self._publish)

    def body(self) -> ComposeResult:
        """The table, and the text in its place while it is empty."""
        with Vertical(id="body"):
            yield Static("", markup=False, id="empty")
            yield RunTable(id="runs")
            yield Static("", markup=False, id="no-match")
            yield Static("", markup=False, id="damage")
            yield Static("", markup=False, id="chosen-sweep")
            with Vertical(id="filter-bar"):
                yield Input(
                    placeholder=f"words or expressions, such as {EXAMPLES}", compact=True, select_on_focus=False, id="filter"
                )
                yield Static("", markup=False, id="filter-problem")
            yield RunPreview()
            if self.frame.demo:
                yield Static(bundled(bundle.models(), bundle.demo_recipe()), markup=False, id="bundle")

    def on_mount(self) -> None:
        """Lays out the columns."""
        if self.frame.demo:
            self.query_one("#bundle").border_title = "what came with codeprune-tui"
        self._table.lay_out()
        self._show_filter(False)
        for part in ("#runs", "#no-match", "#damage", "#chosen-sweep"):
            self.query_one(part).display = False
        self.query_one("#empty", Static).update(Content.styled("Looking for runs…", "$text-muted"))
        self.query_one(RunPreview).display = False
        self._previewer.start()

    def on_unmount(self) -> None:
        """Ends the thread."""
        self._previewer.stop()

    def on_screen_suspend(self) -> None:
        """Stops reading while nobody looks."""
        self._previewer.set_run(None)

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Reads again."""
        self._preview()

    def on_resize(self) -> None:
        """Gives the names the room that is left."""
        self._table.lay_out()
        self.refresh_all()

    @property
    def _table(self) -> RunTable:
        return self.query_one(RunTable)

    def show_news(self) -> None:
        """Shows the newest list."""
        if self.frame.runs is not None:
            self.show_runs(self.frame.runs)

    def show_time(self) -> None:
        """Shows ages, which grow by themselves."""
        if self.frame.runs is not None:
            self._fill(self.frame.runs)

    def show_runs(self, runs: list[RunInfo]) -> None:
        """Shows another list."""
        self._runs = {info.paths.name: info for info in runs}
        self._marks &= self._runs.keys()
        table, empty = self._table, self.query_one("#empty", Static)
        table.display, empty.display = bool(runs), not runs
        if self.frame.runs_problem:
            empty.update(Content.styled(plain(self.frame.runs_problem, 300), "$text-error"))
        elif not runs:
            empty.update(EMPTY.append_text(f"{path_end(plain(str(self.frame.checkpoints)), 200)}/", "$text-muted"))
        elif self.focused is None and self.is_active:
            table.focus()
        self._fill(runs)

    def _fill(self, runs: list[RunInfo]) -> None:
        table, now = self._table, self.frame.clock()
        shown = [info for info in runs if self._filter.matches(info, now)]
        groups = self._groups()
        folded = [name for name, at in groups.items() if self._folded.get(name, len(at.infos) >= FOLDED_FROM)]
        table.show(shown, self._marks, now, groups, folded)
        retitle(table, self._summary(len(runs), shown))
        self._show_match(bool(shown) or not runs)
        self._preview()
        self._show_damage()

    def _groups(self) -> dict[str, Standing]:
        """The sweeps that have a line of their own: none while a filter picks runs."""
        runs = self.frame.runs
        if self._filter.tests or runs is None:
            return {}
        if self._grouped[0] is not runs:
            self._grouped = runs, groups_of(runs, self.frame.missing)
        return self._grouped[1]

    def _group(self) -> Standing | None:
        """The sweep under the cursor."""
        return next((at for at in self._groups().values() if at.key == self._table.chosen), None)

    def _show_damage(self) -> None:
        """Says below the table which files of the run under the cursor are damaged."""
        note, info = self.query_one("#damage", Static), self._runs.get(self._table.chosen)
        text = f"{plain(info.paths.name, 60)}: {plain(info.damage, 400)}" if info is not None and info.damage else ""
        note.display = bool(text)
        tell(note, text)

    def _show_match(self, any_shown: bool) -> None:
        """Says that no run matches the filter, in place of a table without lines."""
        note = self.query_one("#no-match", Static)
        note.display = not any_shown
        self._table.set_class(not any_shown, "no-lines")
        if not any_shown:
            text = plain(self._filter.text, 60)
            note.update(Content.assemble(("No run matches ", ""), (text, "bold"), "; ", ("Esc", "bold"), " clears the filter."))

    def _summary(self, number: int, shown: list[RunInfo]) -> str:
        """Says how many runs there are, which of them are shown and how these stand, and in what order."""
        number_of = f"{count(len(shown))} of {count(number)}" if self._filter.tests else count(number)
        marked = f" · {count(len(self._marks))} marked" if self._marks else ""
        standing = f" · {states_of(shown)}" if self._filter.tests and shown else ""
        filtered = f" · filter: {plain(self._filter.text, 40)}" if self._filter.tests else ""
        return f"{number_of} run{'' if number == 1 else 's'}{filtered}{standing}{marked} · {self._table.ordered}"

    def target(self) -> Target | None:
        """The chosen run."""
        info = self._runs.get(self._table.chosen)
        return None if info is None else Target(info.paths, info.words)

    def _chosen(self) -> list[RunInfo]:
        """The marked runs, in the order of the list; if none is marked, the run under the cursor, or those of the sweep there."""
        cells = self._table.cells
        marked = [name for name in cells if name in self._marks] + sorted(self._marks - cells.keys())
        if not marked and (at := self._group()) is not None:
            return list(at.infos)
        return [self._runs[name] for name in marked or [self._table.chosen] if name in self._runs]

    # The run under the cursor

    def on_data_table_row_highlighted(self) -> None:
        """Follows the cursor."""
        self._preview()
        self._show_damage()

    def _preview(self) -> None:
        info, at = self._previewed(), self._group()
        self._previewer.set_run(info.paths if info is not None and self.is_active else None)
        if info is None:
            self.query_one(RunPreview).display = False
        note = self.query_one("#chosen-sweep", Static)
        note.display = at is not None
        if at is not None:
            states, more = details(at)
            tell(note, Content.assemble("▸ ", (at.name, "bold"), f"  {states}\n  {more}"))

    def _previewed(self) -> RunInfo | None:
        """The run under the cursor; of a sweep, where there is room for it, the best."""
        at = self._group()
        if at is not None and at.best is not None and self.app.size.height >= TALL:
            return self._runs.get(at.best[0])
        return self._runs.get(self._table.chosen)

    def _publish(self, paths: RunPaths, view: RunView) -> None:
        publish(self, Previewed(paths, view))

    def on_previewed(self, message: Previewed) -> None:
        """Shows the run's results, if the cursor is still on it."""
        info = self._previewed()
        if info is not None and info.paths == message.paths:
            preview = self.query_one(RunPreview)
            preview.display = True
            preview.show(info.paths.name, message.view, place_of(info))

    # Filter, order, marks

    def action_filter(self) -> None:
        """Opens the field for a filter."""
        self._show_filter(True)
        self.set_focus(self.query_one("#filter", Input))  # at once: what is typed next belongs there

    def _show_filter(self, there: bool) -> None:
        self.query_one("#filter-bar").display = there

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters while the user types; a filter that cannot be read leaves the list as it was, and says what to do."""
        try:
            self._filter = parse(event.value)
        except FilterError as error:
            self.query_one("#filter-problem", Static).update(plain(str(error), 300))
            return
        self.query_one("#filter-problem", Static).update("")
        self._fill(list(self.frame.runs or []))

    def on_input_submitted(self) -> None:
        """Goes back to the list and keeps the filter."""
        self.set_focus(self._table)
        self._show_filter(bool(self.query_one("#filter", Input).value.strip()))

    def action_back(self) -> None:
        """Clears the filter, or else the marks."""
        if self.query_one("#filter-bar").display:
            self.query_one("#filter", Input).value = ""
            self.set_focus(self._table)
            self._show_filter(False)
        elif self._marks:
            self._marks.clear()
            self._fill(list(self.frame.runs or []))

    def action_mark(self) -> None:
        """Marks the chosen run or removes its mark, and goes to the next; folds or unfolds a sweep."""
        if self._fold():
            return
        if name := self._table.chosen:
            self._marks ^= {name}
            self._fill(list(self.frame.runs or []))
            self._table.move_cursor(row=min(self._table.cursor_row + 1, len(self._table.cells) - 1), animate=False)

    def _fold(self) -> bool:
        """Folds or unfolds the sweep under the cursor; False where none is."""
        if (at := self._group()) is None:
            return False
        self._folded[at.name] = any(info.paths.name in self._table.cells for info in at.infos)
        self._fill(list(self.frame.runs or []))
        return True

    def action_mark_all(self) -> None:
        """Marks all runs that are shown, or removes their marks if all have one."""
        shown = self._table.cells.keys() & self._runs.keys()
        self._marks = self._marks - shown if shown <= self._marks else self._marks | shown
        self._fill(list(self.frame.runs or []))

    def action_sort(self) -> None:
        """Sorts by the next column, then again by age of the folder."""
        names = list(ORDERS)
        self._sort(names[(names.index(self._table.order) + 1) % len(names)])

    def action_reverse(self) -> None:
        """Reverses the order."""
        self._sort(self._table.order, not self._table.down)

    def _sort(self, order: str, down: bool | None = None) -> None:
        self._table.sort_by(order, down)
        self._fill(list(self.frame.runs or []))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sorts by the clicked column; a second click reverses the order."""
        if (key := event.column_key.value) in ORDERS:
            self._sort(key, not self._table.down if key == self._table.order else None)

    # Commands

    def on_data_table_row_selected(self) -> None:
        """Enter or a click on the chosen run opens it, and folds or unfolds a sweep."""
        self.action_open()

    def action_open(self) -> None:
        """Shows the chosen run live; folds or unfolds a sweep."""
        if not self._fold() and (target := self.target()):
            self.frame.open_run(target.paths)

    def action_pause(self) -> None:
        """Pauses all marked runs that are at work; without marks, the run or the sweep under the cursor."""
        if self._marks:
            at_work = [info for info in self._chosen() if info.state in ("STARTING", "RUNNING", "STALE")]
            self._to_all(
                at_work, client.pause, "will pause at the next step", "No marked run is at work: there is nothing to pause."
            )
        elif (at := self._group()) is not None:
            sweep_keys.pause(self, at)
        else:
            super().action_pause()

    def action_resume(self) -> None:
        """Resumes all marked runs that can go on; without marks, the run or the sweep under the cursor."""
        if self._marks:
            idle = [info for info in self._chosen() if info.state not in ("STARTING", "RUNNING", "STALE", "DONE")]
            self._to_all(idle, client.resume, "will be resumed", "No marked run can go on: they are at work or done.")
        elif (at := self._group()) is not None:
            sweep_keys.resume(self, at)
        else:
            super().action_resume()

    def action_stop(self) -> None:
        """Stops the run or the sweep under the cursor; asks first."""
        if (at := self._group()) is not None:
            sweep_keys.stop(self, at)
        else:
            super().action_stop()

    def _alive(self) -> Target | None:
        """The run under the cursor if it has a worker; a sweep is none."""
        return super()._alive() if self._is_run() else None

    def _is_run(self) -> bool:
        """Whether the cursor is not on a sweep; else a toast says what to do."""
        if (at := self._group()) is not None:
            self.frame.say(f"{at.name} is a sweep of {count(len(at.infos))} runs. Enter shows them; choose one.", "warning")
        return at is None

    def _to_all(self, infos: list[RunInfo], command: Command, done: str, nobody: str) -> None:
        for info in infos:
            self.frame.perform(partial(command, info.paths), "" if len(infos) > 3 else f"{plain(info.paths.name, 60)} {done}.")
        if len(infos) > 3:
            self.frame.say(f"{len(infos)} runs {done}.")
        if not infos:
            self.frame.say(nobody, "warning")

    def action_compare(self) -> None:
        """Shows the marked runs beside each other."""
        names = [info.paths.name for info in self._chosen()]
        if len(names) > MOST:
            fix = "Space takes a mark away." if self._marks else "Mark some of its runs with space."
            self.frame.say(f"{len(names)} runs are chosen; Compare takes {MOST} at most. {fix}", "warning")
        elif names:
            self.frame.compare_runs(names)

    def action_rename(self) -> None:
        """Asks for another name of the chosen run."""
        info = self._runs.get(self._table.chosen)
        if self._is_run() and info is not None and self._may_change([info], "renamed"):
            self.app.push_screen(
                Enter(f"New name of {plain(info.paths.name, 60)}:", partial(self._name_problem, info), "Rename", info.paths.name),
                partial(self._rename, info),
            )

    def _name_problem(self, info: RunInfo, name: str) -> str:
        """The problem of a new name, said while it can still be mended."""
        try:
            manage.check_name(name)
        except RunError as error:
            return str(error)
        taken = name != info.paths.name and os.path.lexists(self.frame.checkpoints / name)
        return f"The name {plain(name, 60)} is taken. Choose another one." if taken else ""

    def _rename(self, info: RunInfo, name: str | None) -> None:
        if name is not None and name != info.paths.name:
            checkpoints, table = self.frame.checkpoints, self._table  # a thread cannot ask a screen that was taken down

            def rename() -> None:
                manage.rename_run(checkpoints, info.paths, name)
                table.awaited = name

            self.frame.perform(rename, f"{plain(info.paths.name, 60)} is now {name}.")

    def action_delete(self) -> None:
        """Asks for the run's name, or for the number of several runs, and deletes them."""
        infos = self._chosen()
        if not infos or not self._may_change(infos, "deleted"):
            return
        if len(infos) == 1 and infos[0].round < 0:  # nothing is lost that anybody has waited for
            question = f"Delete {plain(infos[0].paths.name, 60)}? It has no complete round. This cannot be undone."
            self.app.push_screen(Confirm(question, "Delete"), lambda yes: self._delete(infos, "" if yes else None))
            return
        expected = infos[0].paths.name if len(infos) == 1 else f"delete {len(infos)}"
        names = ", ".join(plain(info.paths.name, 40) for info in infos[:5]) + (f" and {len(infos) - 5} more" if infos[5:] else "")
        what = "the run's name" if len(infos) == 1 else expected
        question = f"Delete {names} with all rounds? This cannot be undone.\n\nType {what}:"
        self.app.push_screen(Enter(question, partial(_typed, expected), "Delete"), partial(self._delete, infos))

    def _may_change(self, infos: list[RunInfo], done: str) -> bool:
        """Whether no run has a worker or came with the package; else a toast names one that does."""
        for info in infos:
            name = plain(info.paths.name, 60)
            if bundle.is_read_only(info.paths):
                self.frame.say(f"{name} is an example: it cannot be {done}. {bundle.of_your_own()}", "warning")
                return False
            if is_held(info.paths):
                self.frame.say(f"{name} cannot be {done} while its worker is alive. s stops it at a checkpoint.", "warning")
                return False
        return True

    def _delete(self, infos: list[RunInfo], answer: str | None) -> None:
        if answer is not None:
            done = f"Deleted {plain(infos[0].paths.name, 60)}." if len(infos) == 1 else f"Deleted {len(infos)} runs."
            self.frame.perform(partial(_delete_all, self.frame.checkpoints, infos), done)

    def action_ship(self) -> None:
        """Asks for a recipe that came with the package and opens the form with it."""
        self.app.push_screen(
            Choose("Which recipe should the new run start from?", list(bundle.recipes())), self._new_from_shipped
        )

    def _new_from_shipped(self, name: str | None) -> None:
        if name is not None:
            self.frame.new_from(load_recipe(bundle.recipes()[name]))

    def action_copy(self) -> None:
        """Opens the form with the chosen run's recipe in it."""
        if self._is_run() and (target := self.target()):
            try:
                self.frame.new_from(load_recipe(target.paths.recipe))
            except CodepruneError as error:
                self.frame.say(str(error), "error")

    def action_demo(self) -> None:
        """Starts a demo run and shows it, or shows the one that is at work."""
        if not self._starting:
            self._starting = True
            self.frame.perform(partial(self._start_demo, self.frame), "")

    def _start_demo(self, frame: Frame) -> None:
        try:
            frame.later(self._open_demo, client.start_demo(frame.checkpoints))
        finally:
            frame.later(self._may_start)

    def _open_demo(self, paths: RunPaths) -> None:
        self._table.awaited = paths.name
        self.frame.open_run(paths)

    def _may_start(self) -> None:
        self._starting = False


def _typed(expected: str, text: str) -> str:
    return "" if text in (expected, plain(expected, 60)) else f"That is not {plain(expected, 60)}. Type it exactly, or press Esc."


def _delete_all(checkpoints: Path, infos: list[RunInfo]) -> None:
    for done, info in enumerate(infos):
        try:
            manage.delete_run(checkpoints, info.paths)
        except CodepruneError as error:
            if done:
                raise RunError(f"{done} of {len(infos)} were deleted, then: {error.problem}", error.fix) from error
            raise
