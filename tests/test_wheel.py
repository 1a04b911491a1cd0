"""The wheel builds, installs into an environment of its own, and works from another folder."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import BytesParser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_code_and_bundle_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"core", "codeprune_tui"}
    assert "codeprune_tui/app.tcss" in names
    bundled = {
        str(path.relative_to(ROOT / "checkpoints")) for path in (ROOT / "checkpoints" / "bundled").rglob("*") if path.is_file()
    }
    assert {"bundled/recipes/demo.toml", "bundled/example-run/events.jsonl", "bundled/ruby-mini/metrics.json"} <= bundled
    assert {f"codeprune_tui/{name}" for name in bundled} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_wheel_asks_for_what_the_project_says_and_what_is_tested_here(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        requirements = BytesParser().parsebytes(content.read(name)).get_all("Requires-Dist") or []
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    always = [requirement for requirement in map(Requirement, requirements) if "extra" not in str(requirement.marker)]
    assert sorted(always, key=str) == sorted(map(Requirement, declared), key=str)
    for requirement in always:
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


@pytest.mark.slow
def test_an_installed_wheel_runs_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    # Without a registry: the new environment sees what is installed in this one, but not the checkout that is installed editable.
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    seen = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]  # more than one with TORCH=system
    (site / "present.pth").write_text("\n".join(seen))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, text=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CODEPRUNE"))}
    command = str(tmp_path / "venv" / "bin" / "codeprune-tui")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    assert call("--version").stdout.startswith("codeprune-tui ")
    small = (
        '[model]\npath = "new"\n'
        "[architecture]\nvocab_size = 300\nhidden = 16\nlayers = 1\nheads = 1\nffn = 16\ndecoder_layers = 1\n"
        "[data]\nsource_length = 32\ntarget_length = 16\ntrain_rows = 40\n[pruning]\nrounds = 1\n"
        '[training]\nsteps = 3\nbatch_size = 4\nthreads = 1\ndevice = "cpu"\n[evaluation]\nrows = 4\nbeam = 2\nmax_length = 8\n'
    )
    (elsewhere / "small.toml").write_text(small)  # data.path is the bundled corpus, by default
    done = call("run", "small.toml", "--name", "first")
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "checkpoints" / "first" / "rounds" / "01" / "model.safetensors").exists()
    (elsewhere / "hello.rb").write_text("def hello(name)\n  puts name\nend\n")
    said = call("comment", "hello.rb", "--model", "checkpoints/first/rounds/01")
    assert said.returncode == 0, said.stderr
    assert "hello" in said.stdout
    # What came with it is found from here, too.
    assert call("status", "example-run").stdout.startswith("example-run: DONE")
    tiny = ("training.steps=1", "training.batch_size=2", "training.threads=1", "data.train_rows=4", "pruning.rounds=1",
            "evaluation.rows=2", "evaluation.beam=1", "evaluation.max_length=4")  # fmt: skip
    demo = call("run", "demo", "--name", "demo", *(word for setting in tiny for word in ("--set", setting)))
    assert demo.returncode == 0, demo.stderr
    assert "95 %" in demo.stdout
