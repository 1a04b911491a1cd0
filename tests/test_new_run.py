"""The New run form beyond its fields: what a run costs, the command to copy, and the lists to choose from, at both sizes."""

from pathlib import Path

import pytest
from app_runs import LARGE, make_run, opened, shown, until, until_shown, whole_run
from fake_gpus import GIB, FakeGpu, machine
from test_app_screens import SIZES, row
from test_timings import HERE, a_run, whole
from textual.widgets import Input, Select, Static

from codeprune_tui.runs import choices
from codeprune_tui.screens.folds import Fold
from codeprune_tui.screens.new_run import NewRunScreen
from codeprune_tui.screens.pick import PickValue
from codeprune_tui.screens.review import Review
from codeprune_tui.terminal import clipboard
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.widgets.field import FieldRow
from core.recipe import build_recipe, field_help, parse_recipe


def form(app: CodepruneApp) -> NewRunScreen:
    assert isinstance(app.screen, NewRunScreen)
    return app.screen


def preview(app: CodepruneApp) -> str:
    return str(app.screen.query_one("#preview-text", Static).render())


@SIZES
async def test_disk_and_time_of_a_run_that_was_measured(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: HERE)
    a_run(tmp_path, "demo-1", whole(), build_recipe({"training": {"steps": 100}}))
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        # 5 s to start, and each of 10 rounds: 500 steps at 10 a second, 4 s of evaluation, 6 s of the rest; 4 s encoder off.
        await until_shown(app, "disk 894 MB · about 10 min, from demo-1 on this machine")
        if size == LARGE:
            await until_shown(app, "about 10 min: training 8 min, evaluation 44 s, the rest")
            await until_shown(app, "from demo-1 on this machine (cpu, 2 threads; 10 steps/s,")
            await until_shown(app, "MB on average, rewind weights 77 MB")
            await until_shown(app, "500 a round × 10 rounds = 5,000 steps of 16 rows")
        row(form(app), "training.batch_size").query_one(Input).value = "8"
        await until_shown(app, "disk 894 MB · time not measured yet")
        row(form(app), "training.batch_size").query_one(Input).value = "16"
        row(form(app), "evaluation.beam").query_one(Input).value = "2"
        await until_shown(app, "training 8 min, evaluation not measured")


async def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path, LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "not known: no run with this kind")
        row(form(app), "model.path").query_one(Input).value = "nobody/never-downloaded"
        await until_shown(app, "unknown: nobody/never-downloaded is no folder")
        await until_shown(app, "disk unknown · time not measured yet")
        row(form(app), "model.path").query_one(Input).value = "new"
        await until_shown(app, "disk 493 MB · time not measured yet")


async def test_coming_back_looks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: HERE)
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "time not measured yet")
        await pilot.press("escape")
        await until_shown(app, "[1 Runs]")
        a_run(tmp_path, "demo-1", whole(), build_recipe({"training": {"steps": 100}}))
        await pilot.press("6")
        await until_shown(app, "from demo-1 on this machine")


@SIZES
async def test_one_key_shows_every_field_and_folds_them_again(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        await pilot.press("ctrl+f")
        await until(lambda: {each.key for each in screen.query(FieldRow)} == set(field_help()))
        await until_shown(app, "decoder_layers")
        await until(lambda: row(screen, "training.warmup_share").query_one(Input).value == "0.1")
        await until_shown(app, "name   ")  # the view has stayed where it was
        # Every row's help and any complaint is there to be read once it has the focus.
        row(screen, "training.hold_encoder").query_one(Input).focus()
        await until_shown(app, "encoder's states for good.")
        await pilot.press("ctrl+f")
        await until(lambda: all(fold.collapsed for fold in screen.query(Fold)))


@SIZES
async def test_what_is_wrong_with_several_fields_stands_beside_the_first(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        row(screen, "picker.rule").query_one(Select).value = "best"
        await until(lambda: "needs measurements" in str(row(screen, "picker.rule").query_one(".note", Static).render()))
        assert row(screen, "picker.rule").has_class("wrong")
        row(screen, "picker.every").query_one(Input).value = "100"
        await until(lambda: not row(screen, "picker.rule").has_class("wrong"))


@SIZES
async def test_the_command_and_the_toml_are_shown_and_copied(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard, "copied_folder", lambda: tmp_path / "copied")
    sent: list[str] = []
    monkeypatch.setattr(CodepruneApp, "copy_to_clipboard", lambda self, text: sent.append(text))
    async with opened(tmp_path / "runs", size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        row(form(app), "pruning.rounds").query_one(Input).value = "4"
        await until_shown(app, "✓ 5 rounds")
        await pilot.press("ctrl+y")
        await until(lambda: isinstance(app.screen, Review))
        await until_shown(app, "0 → 22.5 → 45 → 67.5 → 90 %")
        await pilot.press("end")
        await until_shown(app, "rounds = 4")
        await pilot.press("c")
        script = tmp_path / "copied" / "ruby-mini-magnitude-layerwise-1.sh"
        await until(script.is_file)
        await until_shown(app, "Copied to the terminal's clipboard")
        assert script.read_text() == sent[0]
        assert sent[0].startswith(
            f"codeprune-tui --checkpoints {tmp_path / 'runs'} run /dev/stdin --name ruby-mini-magnitude-lay"
        )
        await pilot.press("t")
        toml = tmp_path / "copied" / "ruby-mini-magnitude-layerwise-1.toml"
        await until(toml.is_file)
        assert parse_recipe(toml.read_text()) == build_recipe({"pruning": {"rounds": 4}})
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, NewRunScreen))


async def test_a_wrong_form_has_no_command(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        row(form(app), "pruning.rounds").query_one(Input).value = "two"
        await until_shown(app, "✗ pruning.rounds")
        await pilot.press("ctrl+y")
        await until(lambda: any("pruning.rounds" in toast.message for toast in app._notifications))
        assert isinstance(app.screen, NewRunScreen)


@SIZES
async def test_a_model_is_chosen_from_a_list_that_filters(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "hub", lambda kind: [choices.Candidate(f"some/{kind}", f"some/{kind}", "downloaded")])
    paths, _ = make_run(tmp_path, "old", whole_run("old"))
    (paths.round(2) / "config.json").write_text("{}")
    (paths.round(2) / "model.safetensors").write_bytes(b"")
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        await pilot.press("ctrl+o")
        await until(lambda: isinstance(app.screen, PickValue))
        for text in ("ruby-mini-pretrained", "untrained", "old · round 2 · 60 %", "some/model"):
            await until_shown(app, text)
        await pilot.press(*"old 2")
        await until(lambda: "ruby-mini-pretrained" not in shown(app).split("Which model?")[1])
        await pilot.press("enter")
        await until(lambda: app.screen is screen)
        await until(lambda: row(screen, "model.path").query_one(Input).value == str(paths.round(2).resolve()))
        await until(lambda: screen._outcome.recipe is not None)
        assert screen._outcome.recipe == build_recipe({"model": {"path": str(paths.round(2).resolve())}})


@SIZES
async def test_data_is_chosen_on_its_field_and_free_text_is_taken(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "hub", lambda kind: [])
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        row(screen, "data.path").query_one(Input).focus()
        await until_shown(app, "^o lists what there is.")
        await pilot.press("ctrl+o")
        await until_shown(app, "Which data?")
        await until_shown(app, "train, valid, test as Ruby files")
        await pilot.press(*"owner/rows")
        await until_shown(app, "owner/rows  as typed")
        await pilot.press("enter")
        await until(lambda: row(screen, "data.path").query_one(Input).value == "owner/rows")
        await pilot.press("ctrl+o")
        await until_shown(app, "Which data?")
        await pilot.press(*"zzz", "escape")
        await until(lambda: app.screen is screen)
        assert row(screen, "data.path").query_one(Input).value == "owner/rows"


@SIZES
async def test_a_gpu_is_chosen_on_its_field(tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, [FakeGpu("GPU-a", used_bytes=130 * GIB, users={2**22 + 5: 130 * GIB}), FakeGpu("GPU-b")])
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        row(screen, "training.device").query_one(Input).focus()
        await until_shown(app, "^o lists what there is.")
        await pilot.press("ctrl+o")
        await until_shown(app, "Which device?")
        await until_shown(app, "cuda:0  NVIDIA H200")
        await until_shown(app, "10.0 of 140.0 GiB free")
        await until_shown(app, "130.0 GiB")
        await pilot.press(*"cuda:1", "enter")
        await until(lambda: screen._outcome.recipe == build_recipe({"training": {"device": "cuda:1"}}))
        await until(lambda: row(screen, "training.device").query_one(Input).value == "cuda:1")
        row(screen, "training.device").query_one(Input).value = "gpu1"
        await until(lambda: "training.device" in screen._outcome.problems)
        assert "allowed: auto, cpu, cuda, mps, cuda:N (such as cuda:1)" in screen._outcome.problems["training.device"]


async def test_a_name_of_others_is_shown_as_text_and_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "x\x1b]0;t\x07[red][@click=app.quit]y[/]"
    monkeypatch.setattr(choices, "hub", lambda kind: [])
    folder = tmp_path / "here" / evil
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    async with opened(tmp_path / "runs", LARGE) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        await pilot.press("ctrl+o")
        await until_shown(app, "x<1B>]0;t<07>[red][@click=app.quit]y[/]")
        await pilot.press(*"click", "enter")
        await until(lambda: app.screen is screen)
        await until(lambda: screen._outcome.recipe is not None and screen._outcome.recipe.model.path == evil)
        # Shown harmless, kept as it is, also after another field has changed.
        row(screen, "pruning.rounds").query_one(Input).value = "4"
        await until_shown(app, "✓ 5 rounds")
        assert screen._outcome.recipe == build_recipe({"model": {"path": evil}, "pruning": {"rounds": 4}})
        assert "\x1b" not in shown(app) + preview(app)
        await pilot.press("ctrl+y")
        await until(lambda: isinstance(app.screen, Review))
        assert "\x1b" not in shown(app)


@SIZES
@pytest.mark.parametrize(
    ("key", "problem"),
    [("data.path", "There is no folder /no/such/place"), ("model.path", "There is no model at /no/such/place")],
)
async def test_a_place_that_is_not_there_is_told_beside_its_field_and_starts_nothing(
    tmp_path: Path, size: tuple[int, int], key: str, problem: str
) -> None:
    async with opened(tmp_path / "runs", size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        row(form(app), key).query_one(Input).value = "/no/such/place"
        await until(lambda: problem in str(row(form(app), key).query_one(".note", Static).render()))
        await until_shown(app, f"✗ {problem}")
        await pilot.press("ctrl+s")
        assert not (tmp_path / "runs").exists()
        row(form(app), key).query_one(Input).value = ""
        await until_shown(app, "✓ 10 rounds")


@SIZES
async def test_a_path_that_does_not_fit_shows_its_end(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = tmp_path / ("long" * 12) / "the-model-of-today"
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        model = row(form(app), "model.path").query_one(Input)
        model.value = "checkpoints/bundled/ruby-mini-pretrained"
        await until_shown(app, "bundled/ruby-mini-pretrained ")
        model.value = str(folder)
        await until(lambda: any("path" in line and "/the-model-of-today" in line for line in shown(app).splitlines()[:12]))


async def test_the_form_explains_what_has_the_focus(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        hint = screen.query_one("#hint", Static)
        await until(lambda: screen.focused is screen.query_one("#name") and str(hint.render()).startswith("name"))
        await pilot.press("tab")
        await until(lambda: screen.focused is row(screen, "kind").query_one(Select) and str(hint.render()).startswith("kind"))
        steps = row(screen, "training.steps").query_one(Input)
        steps.focus()
        await until(lambda: str(hint.render()).startswith("training.steps"))
        await pilot.press("0")
        await until(lambda: steps.value == "5000")
        screen.query_one("#start").focus()
        await until(lambda: str(hint.render()).startswith("Enter starts the run"))


async def test_the_list_belongs_to_the_group_of_the_fold_in_focus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "hub", lambda kind: [])
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        fold = next(fold for fold in form(app).query(Fold) if "data.code" in fold.keys)
        fold.query_one("CollapsibleTitle").focus()
        await until_shown(app, "data.hub_config")
        await pilot.press("ctrl+o")
        await until_shown(app, "Which data?")


async def test_a_start_that_is_refused_goes_to_the_field_to_mend(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pilot):
        await pilot.press("6")
        await until_shown(app, "✓ 10 rounds")
        screen = form(app)
        row(screen, "training.steps").query_one(Input).value = "none"
        await until_shown(app, "✗ training.steps")
        await pilot.press("ctrl+s")
        await until(lambda: screen.focused is row(screen, "training.steps").query_one(Input))
        screen.load(build_recipe({"data": {"code": "/no/code"}, "kind": "pretrain"}))
        await until_shown(app, "✗ data.code")
        fold = next(fold for fold in screen.query(Fold) if "data.code" in fold.keys)
        for _ in range(2):  # the rows of a fold are made when it is first opened, and only then
            assert fold.collapsed
            await pilot.press("ctrl+s")
            await until(lambda: not fold.collapsed and screen.focused is row(screen, "data.code").query_one(Input))
            screen.query_one("#name").focus()
            await until(lambda: screen.focused is screen.query_one("#name"))
            fold.collapsed = True
            await pilot.pause()


@SIZES
async def test_typing_names_the_run_and_leaving_loses_nothing(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, size) as (app, pilot):
        await pilot.press("6")
        await until(lambda: isinstance(app.focused, Input))
        await pilot.press(*"try-1")
        await until(lambda: app.screen.query_one("#name", Input).value == "try-1")
        await until_shown(app, "✓ 10 rounds")
        for row in app.screen.query(FieldRow):
            if row.key == "pruning.rounds":
                row.query_one(".control").focus()
        await pilot.press("home", "shift+end", *"3")
        await until_shown(app, "✓ 4 rounds")
        app.screen.query(Fold).first().query_one("CollapsibleTitle").focus()
        for leave, back in (("1", "6"), ("escape", "6"), ("4", "6")):
            await pilot.press(leave)
            await until(lambda: not isinstance(app.screen, NewRunScreen))
            await pilot.press(back)
            await until_shown(app, "✓ 4 rounds")
            assert app.screen.query_one("#name", Input).value == "try-1"
            app.screen.query(Fold).first().query_one("CollapsibleTitle").focus()
