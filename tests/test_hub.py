"""The Hugging Face hub out of reach: an answer within seconds, whatever is wrong with the line."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import hub
from core.errors import DataError
from core.text.rows import check_data_reachable, load_rows

ROOT = Path(__file__).resolve().parent.parent
MOST_S = 10.0
"""The probe ends after 2 s, on a busy machine somewhat later; the hub's own library goes on for half a minute."""


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub._probe.cache_clear()
    yield
    monkeypatch.undo()
    hub._probe.cache_clear()


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """An endpoint where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_a_hub_that_answers_is_reachable_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert hub.why_unreachable() == ""
        server.shutdown()


def test_a_closed_port_and_a_silent_one_are_told_apart(monkeypatch: pytest.MonkeyPatch, closed: str, silent: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", closed)
    assert hub.why_unreachable().startswith(f"{closed} cannot be reached: ")
    monkeypatch.setattr(hub, "PATIENCE_S", 0.1)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", silent)
    assert hub.why_unreachable() in (f"{silent} has not answered in 0.1 s", f"{silent} cannot be reached: timed out")


def test_offline_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_probe", lambda *_: pytest.fail("asked all the same"))
    assert hub.why_unreachable() == "HF_HUB_OFFLINE is set"


def test_cache_only_ends_with_its_block() -> None:
    module = ModuleType("library")
    module.HF_HUB_OFFLINE = False  # type: ignore[attr-defined]
    with hub.cache_only(module):
        assert module.HF_HUB_OFFLINE  # type: ignore[attr-defined]
    assert not module.HF_HUB_OFFLINE  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["closed", "silent"])
@pytest.mark.parametrize(
    "call",
    [
        "import huggingface_hub.file_download; from core.families.weightfiles import find_weights as ask; given = ['some/model']",
        "import datasets; from core.text.rows import load_rows as ask; given = ['some/data', 'train']",
    ],
    ids=["model", "data"],
)
def test_the_real_libraries_give_up_within_seconds(
    request: pytest.FixtureRequest, tmp_path: Path, endpoint: str, call: str
) -> None:
    """In a process of its own: the libraries read their environment when they are imported, which is not what is timed."""
    code = (
        f"import json, time\n{call}\nfrom core.errors import CodepruneError\nbegun = time.monotonic()\n"
        "try:\n    ask(*given)\nexcept CodepruneError as error:\n"
        "    print(json.dumps([time.monotonic() - begun, str(error)]))\n"
    )
    environment = {"HF_ENDPOINT": request.getfixturevalue(endpoint), "HF_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    seconds, text = json.loads(done.stdout.splitlines()[-1])
    assert environment["HF_ENDPOINT"] in text
    assert seconds < MOST_S


@pytest.mark.parametrize("command", [["evaluate", "someone/model"], ["comment", "a.rb", "--model", "someone/model"]])
def test_a_model_that_is_nowhere_is_told_before_torch_or_numpy_is_loaded(closed: str, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "a.rb").write_text("def a = 1\n")
    program = (
        f"import sys; sys.argv = ['codeprune-tui', *{command!r}]\nfrom codeprune_tui.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    print(left.code, {'torch', 'numpy'} & sys.modules.keys())"
    )
    surroundings = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": closed, "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=surroundings, cwd=tmp_path
    )
    assert done.stdout == "5 set()\n", done.stderr
    assert "not in the Hugging Face cache, and the hub cannot be reached" in done.stderr
    assert "hf download someone/model" in done.stderr


def test_what_hf_download_left_in_the_cache_is_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "datasets--someone--methods"
    folder = repository / "snapshots" / "1" / "ruby"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1")
    row = {"func_name": "A.b", "code_tokens": ["def", "b", "end"], "docstring_tokens": ["Returns", "nothing", "."]}
    pq.write_table(pa.Table.from_pylist([row]), folder / "validation-00000-of-00001.parquet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    rows = load_rows("someone/methods", "valid").rows
    assert [(each.name, each.target) for each in rows] == [("A.b", "Returns nothing .")]
    with pytest.raises(DataError, match=r"other/methods \(ruby, validation\) cannot be read .*: HF_HUB_OFFLINE is set"):
        load_rows("other/methods", "valid")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        check_data_reachable("other/methods", "valid")
    check_data_reachable("someone/methods", "valid")
