"""Mode 6: a form for the whole recipe, checked while the user types, and the start of the run.

The rows follow from the recipe's own fields, so a new key appears by itself. The run gets exactly the recipe that the preview
shows; the screen also shows the command that starts the same run. `costing` looks up the costs.
"""

from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus, ScreenResume
from textual.message import Message
from textual.widgets import Button, Collapsible, Input, Static

from core.recipe import Recipe
from core.run.folder import NAME_PATTERN, free_name
from core.spec.precheck import source_problems
from core.spec.schedule import sparsities

from ..frame import Frame, publish
from ..runs import client, cost_text, shell_command
from ..runs.choices import PICKABLE, sources
from ..runs.costing import CostFinder, Costs
from ..views.form import COMMON, FOLDED, Outcome, Value, explicit_values, fields, judge, toml, values, verdict
from ..views.plain import plain
from ..widgets.field import FieldRow
from ..widgets.spark import bars
from ..widgets.telling import tell
from .folds import Fold, rows_of
from .mode import ModeScreen
from .pick import PickValue
from .review import Review

NAME_HELP = "Name of the run's folder; left empty, it is made from model and method. Letters, digits, dot, dash, underscore."

START_HELP = "Enter starts the run and shows it live; ^s does so from any field."


class NewRunScreen(ModeScreen):
    """The form."""

    MODE = "new"
    AUTO_FOCUS = "#name"  # typing names the run; Esc leaves, and the form keeps its entries
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", priority=True, tooltip="Start the run and show it live", id="new.start"),
        Binding("ctrl+n", "clear", "Defaults", tooltip="Put every key back to its default", id="new.clear"),
        Binding("ctrl+f", "fold", "All fields", tooltip="Show or fold the less common fields", id="new.fold"),
        Binding("ctrl+o", "pick", "List", tooltip="Choose a model or data from a list", id="new.pick"),
        Binding(
            "ctrl+y",
            "review",
            "Command",
            tooltip="Show the run's costs, its command and its TOML, to copy",
            id="new.review",
        ),
        Binding("escape", "app.mode('runs')", "Back", tooltip="Back to the list; the form keeps its entries", id="new.back"),
        Binding("down", "app.focus_next", "Next field", show=False, id="new.next-field"),
        Binding("up", "app.focus_previous", "Previous field", show=False, id="new.previous-field"),
    ]

    class CostsFound(Message):
        """The costs of a recipe have been looked up."""

    def __init__(self) -> None:
        super().__init__()
        self._finder: CostFinder | None = None
        self._entries: dict[str, Value] = {}
        self._outcome: Outcome = judge({})
        self._starting = False
        self._empty_rows = False
        self.is_built = False
        """Whether the form has its rows; keys wait for them."""
        self._key_to_focus = ""

    def body(self) -> ComposeResult:
        """The form, the preview, and the verdict."""
        with Horizontal(id="body"):
            with VerticalScroll(id="form", can_focus=False):
                with Horizontal(classes="field"):
                    yield Static("name", classes="label", markup=False)
                    yield Input(compact=True, classes="control", id="name")
                    yield Static(NAME_HELP, classes="note", markup=False)
                yield Static("Loading the form…", markup=False, id="loading")
            with VerticalScroll(id="preview"):
                yield Static("", markup=False, id="preview-text")
        with Vertical(id="judgement"):
            yield Static("", markup=False, id="hint")
            yield Static("", markup=False, id="costs")
            with Horizontal(id="verdict-row"):
                yield Static("", markup=False, id="verdict")
                yield Button("Start (^s)", id="start", variant="primary", compact=True)

    def _sections(self) -> ComposeResult:
        for section, entries in groupby(fields(), key=lambda key: key.rpartition(".")[0]):
            keys = list(entries)
            if section in FOLDED:
                yield Fold(f'{section} (only for model.path = "new")', keys)
                continue
            if section:
                yield Static(section, classes="section", markup=False)
            yield from rows_of(key for key in keys if key in COMMON)
            if folded := [key for key in keys if key not in COMMON]:
                yield Fold(f"more: {', '.join(key.rpartition('.')[2] for key in folded)}", folded)

    async def on_collapsible_expanded(self, event: Collapsible.Expanded) -> None:
        """Makes the rows of a fold when it is first opened: half of the form is seldom looked at."""
        if isinstance(event.collapsible, Fold) and (keys := event.collapsible.take_keys()):
            await event.collapsible.query_one(Collapsible.Contents).mount_all(rows_of(keys))
            self._empty_rows = True
            self.call_later(self._fill_rows)
        elif self._key_to_focus:
            self.call_after_refresh(self._go_to, self._key_to_focus)

    def _fill_rows(self) -> None:
        """Shows the values of rows that are new; once for all folds that were opened together."""
        if self._empty_rows:
            self._empty_rows = False
            self._judge(show_all=True, over=False)
            self._go_to(self._key_to_focus)

    def on_mount(self) -> None:
        """Shows the defaults, or the recipe that was put in before there was a form."""
        self._finder = CostFinder(self.frame.checkpoints, lambda: publish(self, self.CostsFound()))
        self.query_one("#preview").border_title = "what will run"
        self.query_one("#start", Button).disabled = True
        self.call_after_refresh(self._build)

    async def _build(self) -> None:
        """Makes the rows, which takes a moment, once the screen says so."""
        await self.query_one("#form").mount_all(self._sections())
        await self.query_one("#loading").remove()
        self.is_built = True
        self._judge(show_all=True)
        if self.focused is None:
            self.set_focus(self.query_one("#name"))

    def load(self, recipe: Recipe) -> None:
        """Puts a recipe into the form."""
        self._entries = explicit_values(recipe)
        if self.is_built:
            self._judge(show_all=True)

    def action_clear(self) -> None:
        """Puts everything back."""
        self._entries = {}
        self.query_one("#name", Input).value = ""
        self._judge(show_all=True)

    def on_field_row_edited(self, event: FieldRow.Edited) -> None:
        """Checks the recipe again with the new entry."""
        if event.value == "":
            self._entries.pop(event.key, None)
        else:
            self._entries[event.key] = event.value
        self._judge()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Checks the run's name, too, which is no key of the recipe."""
        self._show_outcome()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes on to the next field."""
        self.focus_next()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explains the key that has the focus."""
        row = event.widget.parent
        if isinstance(row, FieldRow):
            allowed = f" One of: {', '.join(row.allowed)}." if row.allowed else ""
            allowed = " ^o lists what there is." if row.key in PICKABLE else allowed
            self.query_one("#hint", Static).update(Content.assemble((row.key, "bold"), f"  {row.help_text}{allowed}"))
        elif event.widget.id == "name":
            self.query_one("#hint", Static).update(Content.assemble(("name", "bold"), f"  {NAME_HELP}"))
        elif event.widget.id == "start":
            self.query_one("#hint", Static).update(START_HELP)
        elif isinstance(row, Fold):
            self.query_one("#hint", Static).update(Content.assemble("Enter opens or closes: ", plain(", ".join(row.keys), 400)))

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        """Shows the default again in a line that was left empty."""
        if isinstance(row := event.widget.parent, FieldRow) and row.key not in self._entries:
            self.call_after_refresh(self._judge)

    def _judge(self, show_all: bool = False, over: bool = True) -> None:
        self._outcome = with_sources(judge(self._entries))
        recipe = self._outcome.recipe
        shown = values(recipe) if recipe else {**values(Recipe()), **self._entries} if show_all else {}
        for row in self.query(FieldRow):
            # A key without an entry shows the value that it will have, which may depend on others, such as the preset.
            # The line that the user is typing into stays as it is, even empty.
            if row.key in shown and (show_all or (row.key not in self._entries and not row.has_focus_within)):
                row.show_value(shown[row.key], over=show_all and over)
            row.show_problem(self._outcome.problems.get(row.key, ""))
        self._show_outcome()

    def _problems(self) -> list[str]:
        name = self.query_one("#name", Input).value.strip()
        problems = list(dict.fromkeys(self._outcome.problems.values()))
        if name and not NAME_PATTERN.fullmatch(name):
            problems.insert(0, "name: use letters, digits, '.', '-' and '_', beginning with a letter or digit, 100 at most")
        elif name and (self.frame.checkpoints / name).exists():
            problems.insert(0, f"name: {name} is taken; choose another name")
        return problems

    def _show_outcome(self) -> None:
        if not self.is_built:
            return
        problems, recipe = self._problems(), self._outcome.recipe
        self.query_one("#start", Button).disabled = bool(problems) or self._starting
        said = self.query_one("#verdict", Static)
        said.set_class(bool(problems), "wrong")
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            tell(said, f"✗ {plain(problems[0], 300)}{more}")
        elif recipe is not None:
            tell(said, f"✓ {verdict(recipe)}")
        if recipe is not None:
            costs = self._costs(recipe)
            tell(self.query_one("#costs", Static), cost_text.line(costs))
            tell(self.query_one("#preview-text", Static), self._preview(recipe, costs))

    def _costs(self, recipe: Recipe) -> Costs | None:
        return self._finder.ask(recipe) if self._finder is not None else None

    def _preview(self, recipe: Recipe, costs: Costs | None) -> Content:
        shares = sparsities(recipe) if costs is None or costs.shares is None else costs.shares
        drawn = "\n".join(bars(shares, min(40, len(shares)), 2)) if len(shares) > 1 else ""
        text = toml(recipe).strip() or "# every key has its default"
        pieces: list[str | tuple[str, str]] = []
        for heading, said in cost_text.parts(recipe, costs):
            chart = f"{drawn}\n" if heading == cost_text.SCHEDULE else ""
            pieces += [(f"{heading}\n", "bold"), (chart, "$text-primary"), f"{said}\n\n"]
        return Content.assemble(
            *pieces,
            ("name\n", "bold"),
            f"{plain(self._run_name(recipe), 100)}\n\n",
            ("recipe.toml", "bold"),
            (" (other keys have their defaults; ^y: the command)\n", "$text-muted"),
            plain_block(text),
        )

    def _run_name(self, recipe: Recipe) -> str:
        typed = self.query_one("#name", Input).value.strip()
        return typed or free_name(self.frame.checkpoints, client.default_stem(recipe))

    def on_new_run_screen_costs_found(self) -> None:
        """Shows the costs, or looks up those of entries that came meanwhile."""
        self._show_outcome()

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Looks the costs up again: another run may have been measured meanwhile."""
        if self._finder is not None:
            self._finder.forget()
            self._show_outcome()

    def action_fold(self) -> None:
        """Opens every fold, or closes all if all are open."""
        folds = list(self.query(Fold))
        collapse = all(not fold.collapsed for fold in folds)
        for fold in folds:
            fold.collapsed = collapse

    def action_pick(self) -> None:
        """Lists values for the field in focus; elsewhere, the models."""
        row = self.focused.parent if self.focused is not None else None
        keys = row.keys if isinstance(row, Fold) else (row.key,) if isinstance(row, FieldRow) else ()
        of_data = keys[:1] and keys[0].startswith("data.")
        key = keys[0] if keys[:1] and keys[0] in PICKABLE else "data.path" if of_data else "model.path"
        self.app.push_screen(PickValue(PICKABLE[key], sources(key, self.frame.checkpoints)), partial(self._picked, key))

    def _picked(self, key: str, value: str | None) -> None:
        if value is not None:
            self.enter(key, value)

    def enter(self, key: str, value: str) -> None:
        """Enters a value as if it had been typed; the other entries stay."""
        self._entries[key] = value
        if self.is_built:
            self._judge()
        for row in self.query(FieldRow):
            if row.key == key:
                row.show_value(value, over=True)

    def action_review(self) -> None:
        """Shows the run's costs, and the command that starts it from a shell."""
        recipe, problems = self._outcome.recipe, self._problems()
        if problems or recipe is None:
            self.frame.say(problems[0], "error")
            return
        name = self._run_name(recipe)
        command = shell_command.command(recipe, self.frame.checkpoints, name)
        parts = cost_text.parts(recipe, self._costs(recipe))
        self.app.push_screen(Review(parts, name, command, shell_command.toml_text(recipe)))

    def on_button_pressed(self) -> None:
        """The button does what its key does."""
        self.action_start()

    def action_start(self) -> None:
        """Starts the run, if its recipe is valid."""
        recipe, problems = self._outcome.recipe, self._problems()
        if problems or recipe is None:
            self.frame.say(problems[0], "error")
            self._go_to("name" if problems[0].startswith("name: ") else next(iter(self._outcome.problems), ""))
        elif not self._starting:
            self._starting = True
            self._show_outcome()
            name = self.query_one("#name", Input).value.strip() or None
            self.frame.perform(partial(self._start, self.frame, recipe, name), "")

    def _go_to(self, key: str) -> None:
        """Puts the focus on a key's control, once its fold is open."""
        self._key_to_focus = ""
        if key == "name":
            self.query_one("#name").focus()
        for fold in self.query(Fold):
            if key in fold.keys and fold.collapsed:
                self._key_to_focus = key  # its rows may have to be made first
                fold.collapsed = False
                return
        for row in self.query(FieldRow):
            if row.key == key:
                row.query_one(".control").focus()

    def _start(self, frame: Frame, recipe: Recipe, name: str | None) -> None:
        try:
            frame.later(frame.open_run, client.start(frame.checkpoints, recipe, name))
        finally:
            frame.later(self._may_start)

    def _may_start(self) -> None:
        self._starting = False
        self._show_outcome()


def with_sources(outcome: Outcome) -> Outcome:
    """The outcome, and what is wrong with the places on this machine that its recipe names."""
    if outcome.recipe is None:
        return outcome
    wrong = {key: str(error) for key, error in source_problems(client.anchored(outcome.recipe)).items()}
    return replace(outcome, problems=wrong)


def plain_block(text: str) -> str:
    """Lines made harmless one by one."""
    return "\n".join(plain(line) for line in text.split("\n"))
