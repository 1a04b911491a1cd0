"""Settings: what is wrong in the file is named, the rest holds, and the app starts whatever stands in it."""

from pathlib import Path

import pytest
import tomlkit
from app_runs import LARGE, NOW, SMALL, make_run, shown, until, until_shown, whole_run

from codeprune_tui import keymap as keys
from codeprune_tui import settings
from codeprune_tui.screens.runs import RunsScreen
from codeprune_tui.settings import Settings
from codeprune_tui.terminal.notifications import notification
from codeprune_tui.themes import CIVIDIS, COLOUR_BLIND_SAFE
from codeprune_tui.tui import CodepruneApp
from codeprune_tui.widgets.heatmap import TONES, Heatmap, tones_of
from codeprune_tui.widgets.layergrid import LayerGrid

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "none.toml") == (Settings(), [])


def test_a_good_file(tmp_path: Path) -> None:
    text = 'theme = "nord"\nlow_bandwidth = true\nbell = false\nnotify = "osc9"\n[keymap]\n"run.pause" = "x"\n'
    loaded, problems = settings.load(write(tmp_path, text))
    assert problems == []
    assert loaded == Settings(theme="nord", low_bandwidth=True, bell=False, notify="osc9", keymap={"run.pause": "x"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('notify = "osc8"', 'notify = \'osc8\' is not allowed; allowed: "off", "osc9", "osc777".'),
        ('bell = "yes"', "bell = 'yes' is not allowed; allowed: true or false."),
        ('tips = "no"', "tips = 'no' is not allowed; allowed: true or false."),
        ("bell = 1", "bell = 1 is not allowed; allowed: true or false."),
        ('tehme = "nord"', 'unknown key "tehme"; did you mean theme?'),
        ("zzz = 1", 'unknown key "zzz"; there are: theme, low_bandwidth, bell, notify, playground_device, tips, keymap.'),
        ("keymap = 3", 'allowed: a table such as [keymap] with lines such as "run.pause" = "x"'),
        ('[keymap]\n"run.pause" = 3', "keymap.run.pause"),
    ],
)
def test_a_wrong_key_is_named_and_the_others_hold(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, f"low_bandwidth = true\n{text}\n")
    loaded, problems = settings.load(path)
    assert loaded == Settings(low_bandwidth=True)
    assert len(problems) == 1
    assert sentence in problems[0]
    assert str(path) in problems[0]


@pytest.mark.parametrize("content", [b"[theme\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_what_is_no_toml_changes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    loaded, problems = settings.load(path)
    assert loaded == Settings()
    assert "is not valid TOML" in problems[0]
    with pytest.raises(OSError, match="mend it first"):
        settings.remember_theme(path, "nord")
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    loaded, problems = settings.load(tmp_path)
    assert loaded == Settings()
    assert "cannot be read" in problems[0]


def test_the_theme_is_remembered_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = write(tmp_path, '# mine\nbell = false  # quiet\n\n[keymap]\n"run.pause" = "x"\n')
    settings.remember_theme(path, "nord")
    assert "# mine\nbell = false  # quiet\n" in path.read_text()
    assert settings.load(path) == (Settings(theme="nord", bell=False, keymap={"run.pause": "x"}), [])
    settings.remember_theme(tmp_path / "new" / "config.toml", "nord")
    assert settings.load(tmp_path / "new" / "config.toml")[0].theme == "nord"


def test_the_template_is_valid_with_every_key_taken_in(tmp_path: Path) -> None:
    text = settings.template(keys.remappable())
    assert settings.load(write(tmp_path, text)) == (Settings(), [])
    used = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line or line == "# [keymap]")
    loaded, problems = settings.load(write(tmp_path, used))
    assert problems == []
    assert set(tomlkit.parse(used)) == set(Settings.model_fields)
    assert keys.judge(loaded.keymap) == ({name: keys.judge({name: key})[0][name] for name, key in loaded.keymap.items()}, [])


# Keys


def test_the_default_keys_do_not_clash() -> None:
    for screen, bindings in keys.tables().items():
        pressed = [key.strip() for binding in bindings for key in binding.key.split(",")]
        assert len(pressed) == len(set(pressed)), screen


@pytest.mark.parametrize(
    ("keymap", "good"),
    [
        ({"run.pause": "x"}, {"run.pause": "x"}),
        ({"run.pause": "x,f5"}, {"run.pause": "x,f5"}),
        ({"app.help": "%"}, {"app.help": "percent_sign"}),
        ({"run.pause": "s", "run.stop": "p"}, {"run.pause": "s", "run.stop": "p"}),
        ({"compare.mark": "p"}, {"compare.mark": "p"}),
        ({"app.runs": "ctrl+t"}, {"app.runs": "ctrl+t"}),
    ],
)
def test_a_keymap_that_works(keymap: dict[str, str], good: dict[str, str]) -> None:
    assert keys.judge(keymap) == (good, [])


@pytest.mark.parametrize(
    ("keymap", "sentence"),
    [
        ({"run.puase": "x"}, 'there is no action "run.puase"; did you mean "run.pause"?'),
        ({"run.pause": "ctlr+x"}, '"run.pause" = "ctlr+x" is no key'),
        ({"run.pause": ""}, '"run.pause" = "" is no key'),
        ({"run.pause": "\x1b"}, "is no key"),
        ({"run.pause": "s"}, '"run.pause" = "s" is taken by "run.stop" on Runs'),
        ({"run.pause": "?"}, '"run.pause" = "question_mark" is taken by "app.help" on Runs'),
        ({"live.freeze": "l"}, '"live.freeze" = "l" is taken by "live.log" on Live'),
        ({"app.quit": "y"}, '"app.quit" = "y" is taken by'),
    ],
)
def test_a_keymap_that_cannot_work(keymap: dict[str, str], sentence: str) -> None:
    good, problems = keys.judge(keymap)
    assert good == {}
    assert len(problems) == 1
    assert sentence in problems[0]


# In the app


def app_with(folder: Path, text: str) -> CodepruneApp:
    runs = folder / "runs"
    make_run(runs, "ruby-1", whole_run("ruby-1"))
    return CodepruneApp(runs, clock=lambda: NOW, config=write(folder, text))


@SIZES
async def test_wrong_settings_are_told_and_the_app_works(tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_with(tmp_path, 'notify = "loud"\ntheme = "nrod"\n[keymap]\n"run.pause" = "s"\n')
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_shown(app, "ruby-1")
        await until(lambda: len(app._notifications) == 3)
        toasts = " ".join(note.message for note in app._notifications)
        assert "notify = 'loud' is not allowed" in toasts
        assert 'theme = "nrod" is unknown; did you mean "nord"?' in toasts
        assert 'is taken by "run.stop" on Runs' in toasts
        assert app.theme == "textual-dark"
        app.clear_notifications()
        await pilot.press("2")
        await until_shown(app, "[2 Live]")


async def test_help_names_the_keys_that_the_settings_give(tmp_path: Path) -> None:
    app = app_with(tmp_path, '[keymap]\n"app.layers" = "f6"\n"help.close" = "x"\n')
    async with app.run_test(size=(100, 60)) as pilot:
        await until_shown(app, "ruby-1")
        await pilot.press("question_mark")
        await until_shown(app, "x closes this · t checks the terminal")
        assert [line.split("Go to Layers")[0].strip("│ ") for line in shown(app).splitlines() if "Go to Layers" in line] == ["f6"]
        await pilot.press("x")
        await until(lambda: isinstance(app.screen, RunsScreen))


async def test_another_key_does_it_and_the_old_one_does_not(tmp_path: Path) -> None:
    app = app_with(tmp_path, '[keymap]\n"app.layers" = "x"\n')
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, "ruby-1")
        await pilot.press("3")
        await pilot.press("x")
        await until_shown(app, "[3 Layers]")
        await pilot.press("1")
        await until_shown(app, "[1 Runs]")
        await pilot.press("3")
        await pilot.press("4")
        await until_shown(app, "[4 Compare]")


def colours_of(app: CodepruneApp, kind: type[Heatmap] | type[LayerGrid]) -> set[str]:
    strips = app.screen.query_one(kind)._strips
    return {segment.style.bgcolor.name for strip in strips for segment in strip if segment.style and segment.style.bgcolor}


@SIZES
async def test_the_heatmap_takes_the_tones_of_the_theme_which_is_remembered(tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_with(tmp_path, "# mine\n")
    async with app.run_test(size=size) as pilot:
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until_shown(app, "round 3: 90 %")

        await until(lambda: TONES[9] in colours_of(app, Heatmap))
        app.theme = COLOUR_BLIND_SAFE.name
        await until(lambda: CIVIDIS[9] in colours_of(app, Heatmap))
        assert not colours_of(app, Heatmap) & set(TONES)
        await pilot.press("3")
        await until_shown(app, "[3 Layers]")
        await until(lambda: CIVIDIS[9] in colours_of(app, LayerGrid))
        assert not colours_of(app, LayerGrid) & set(TONES)
        assert settings.load(tmp_path / "config.toml") == (Settings(theme=COLOUR_BLIND_SAFE.name), [])
        assert app.config is not None
        assert app.config.read_text().startswith("# mine\n")
    again = CodepruneApp(tmp_path / "runs", clock=lambda: NOW, config=app.config)
    async with again.run_test(size=size):
        assert again.theme == COLOUR_BLIND_SAFE.name


def test_both_scales_rise_in_lightness() -> None:
    for tones in (TONES, CIVIDIS):
        light = [luminance(tone) for tone in tones[1:]]
        assert light == sorted(light)
    assert tones_of("nord") is TONES


def luminance(colour: str) -> float:
    """Relative luminance; source: WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def test_low_bandwidth_looks_less_often_and_animates_nothing(tmp_path: Path) -> None:
    app = app_with(tmp_path, "low_bandwidth = true\n")
    async with app.run_test(size=SMALL) as pilot:
        await until_shown(app, "ruby-1")
        await pilot.press("enter")
        await until_shown(app, "[2 Live]")
        assert app.animation_level == "none"
        assert app._watcher is not None
        assert app._watcher._poll_s == 2.0
    assert CodepruneApp(tmp_path, low_bandwidth=True).slow
    assert not CodepruneApp(tmp_path).slow


# Notifications


@pytest.mark.parametrize("kind", ["osc9", "osc777"])
@pytest.mark.parametrize("tmux", [False, True])
def test_nothing_from_outside_ends_a_notification_early(kind: str, tmux: bool) -> None:
    evil = "4;3;99\x1b\\\x07\x1b]0;owned\x07\x9c\n\u202e" + "x" * 5000
    sequence = notification(kind, "a;b\x07", evil, tmux)  # type: ignore[arg-type]  # parametrized
    frame = ("\x1bPtmux;\x1b\x1b]", "\x07\x1b\\") if tmux else ("\x1b]", "\x07")
    assert sequence.startswith(frame[0])
    assert sequence.endswith(frame[1])
    body = sequence.removeprefix(frame[0]).removesuffix(frame[1])
    assert body.isprintable()
    assert body.startswith("9;a,b" if kind == "osc9" else "777;notify;a,b")
    assert len(sequence) < 600


def test_notifications_as_terminals_want_them() -> None:
    assert notification("osc9", "codeprune-tui", "a: done", False) == "\x1b]9;codeprune-tui: a: done\x07"
    assert notification("osc777", "codeprune-tui", "a; b", False) == "\x1b]777;notify;codeprune-tui;a, b\x07"
    assert notification("osc9", "t", "x", True) == "\x1bPtmux;\x1b\x1b]9;t: x\x07\x1b\\"


async def test_a_notification_is_written_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    for setting, expected in (('notify = "osc9"', ["\x1b]9;codeprune-tui: Done.\x07"]), ("bell = true", [])):
        folder = tmp_path / setting[:4]
        folder.mkdir()
        app = app_with(folder, setting)
        async with app.run_test(size=SMALL):
            await until_shown(app, "ruby-1")
            written: list[str] = []
            assert app._driver is not None
            monkeypatch.setattr(app._driver, "write", written.append)
            app.say("Done.", bell=True)
            app.say("Only a toast.")
            assert [text for text in written if text.startswith("\x1b]")] == expected
