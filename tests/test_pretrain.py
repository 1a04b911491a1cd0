"""Pre-training: what is masked, that it learns, and that it can be interrupted."""

import json
from pathlib import Path

import pytest
import torch

from core import worker
from core.errors import DataError
from core.model import is_finetuned, load_model, load_reader
from core.recipe import build_recipe, to_toml
from core.ruby import methods, source_text
from core.run.events import Failed, RoundFinished, Validated, Warned
from core.run.folder import RunPaths
from core.run.journal import read_journal
from core.text.rows import Row
from core.train.objectives import mask_tokens
from core.train.pretrain import further_code

DEMO = str(Path(__file__).parent.parent / "checkpoints" / "bundled" / "demo-ruby")


def make(tmp_path: Path, name: str = "pre", *, objective: str = "mask", code: str = "", **changes: object) -> RunPaths:
    sections: dict[str, object] = {
        "kind": "pretrain",
        "model": {"path": "new"},
        "architecture": {"vocab_size": 400, "hidden": 32, "layers": 2, "heads": 2, "ffn": 48, "decoder_layers": 1},
        "data": {"path": DEMO, "source_length": 48, "target_length": 24, "train_rows": 60, "code": code},
        "training": {"steps": 20, "batch_size": 8, "learning_rate": 3e-3, "threads": 1, "device": "cpu", "checkpoint_every": 8},
        "picker": {"every": 10 if "training" not in changes else 0},
        "pretraining": {"objective": objective},
        "evaluation": {"rows": 16},
    }
    paths = RunPaths(tmp_path / name)
    paths.root.mkdir()
    paths.recipe.write_text(to_toml(build_recipe(sections | changes)), encoding="utf-8")
    return paths


def stop_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, objective: str) -> tuple[RunPaths, RunPaths]:
    """The same run twice: in one go, and stopped after step 13 and taken up again."""
    whole, parts = make(tmp_path, "whole", objective=objective), make(tmp_path, "parts", objective=objective)
    assert worker.main([str(whole.root)]) == 0
    stop_at_13(parts, monkeypatch)
    assert worker.main([str(parts.root)]) == 0
    return whole, parts


def stop_at_13(parts: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops a run after step 13."""
    from core.train.session import Session

    original = Session.breathe

    def breathe(self: Session, number: int, step: int, save: object) -> None:
        if step == 13:
            self.control.stopping = "test"
        original(self, number, step, save)  # type: ignore[arg-type]  # passed through

    with monkeypatch.context() as patched:
        patched.setattr(Session, "breathe", breathe)
        assert worker.main([str(parts.root)]) == 0
    assert parts.finished_rounds() == []


def test_masking_hides_a_share_of_ordinary_tokens_and_depends_on_the_seed_alone() -> None:
    ids = torch.randint(5, 300, (200, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 0, 1
    masked, hidden = mask_tokens(ids, 7, mask_id=399, vocab_size=400)
    assert not hidden[:, 0].any()
    assert not hidden[:, -1].any()
    assert float(hidden[:, 1:-1].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert torch.equal(masked[~hidden], ids[~hidden])
    assert float((masked[hidden] == 399).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((masked[hidden] == ids[hidden]).float().mean()) == pytest.approx(0.1, abs=0.03)
    again = mask_tokens(ids, 7, mask_id=399, vocab_size=400)
    assert torch.equal(masked, again[0])
    assert not torch.equal(hidden, mask_tokens(ids, 8, mask_id=399, vocab_size=400)[1])


def test_it_learns_and_ends_with_an_encoder_that_gets_a_fresh_decoder(tmp_path: Path) -> None:
    paths = make(tmp_path)
    assert worker.main([str(paths.root)]) == 0
    events = [event.what for event in read_journal(paths.journal)]
    losses = [what.loss for what in events if isinstance(what, Validated)]
    assert len(losses) == 2
    assert losses[1] < losses[0] < 6.1  # ln 400 is 5.99
    assert isinstance(events[-2], RoundFinished)
    folder = paths.round(0)
    assert json.loads((folder / "metrics.json").read_text())["held_out_loss"] == losses[1]
    assert not is_finetuned(folder)
    model = load_model(folder, decoder_layers=2)
    assert model.config.decoder_layers == 2
    reader = load_reader(folder)
    assert reader.steps == ("split-identifiers",)
    assert len(reader) == model.config.vocab_size == 400


def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = stop_and_resume(tmp_path, monkeypatch, objective="mask")
    assert (parts.round(0) / "model.safetensors").read_bytes() == (whole.round(0) / "model.safetensors").read_bytes()


def test_further_code_is_each_method_once_and_nothing_held_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.rb").write_text("# Says it all.\ndef a(x)\n  x + 1\nend\ndef b\n  2\nend\n")
    (tmp_path / "b.rb").write_text("def b\n  2\nend\ndef held\n  3\nend\n\xff")
    comments = further_code(tmp_path, {"def held 3 end"}, [])
    assert comments == {"def b 2 end": "", "def a ( x ) x + 1 end": "Says it all ."}
    with pytest.raises(DataError, match="holds no Ruby methods"):
        further_code(tmp_path / "nowhere", set(), [])


def test_further_code_that_is_not_there_fails_the_run(tmp_path: Path) -> None:
    paths = make(tmp_path, code=str(tmp_path / "nowhere"))
    assert worker.main([str(paths.root)]) == 4
    assert isinstance(read_journal(paths.journal)[-1].what, Failed)


def test_near_copies_of_held_out_methods_are_left_out(tmp_path: Path) -> None:
    body = "total = 0; items.each { |item| total += item.price_in_cents * item.count }; total"
    others = "def other(x)\n  x.map(&:to_s)\nend\n"
    (tmp_path / "a.rb").write_text(f"def total\n  {body}\nend\ndef sum_of_all\n  {body}\nend\n{others}")
    first = source_text(methods((tmp_path / "a.rb").read_text())[0].tokens)
    assert len(further_code(tmp_path, set(), [])) == 3
    assert list(further_code(tmp_path, set(), [Row("total", first, "The total .", "", 0, "a.rb")])) == [
        "def other ( x ) x . map ( & :to_s ) end"
    ]


@pytest.mark.parametrize("lost", ["meta.json", "code"])
def test_what_a_resumed_pretraining_needs_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.rb").write_text("def total(items)\n  items.sum + items.size * items.first\nend\n")
    paths = make(tmp_path, code=str(code))
    stop_at_13(paths, monkeypatch)
    if lost == "code":
        (code / "a.rb").write_text("def other(things)\n  things.sum - things.size * things.last\nend\n")
        wish = f"The Ruby code in {code} has changed since pre began."
    else:
        paths.meta.unlink()
        wish = f"{paths.meta} is missing"
    assert worker.main([str(paths.root)]) > 0
    failed = read_journal(paths.journal)[-1].what
    assert isinstance(failed, Failed)
    assert failed.problem.startswith(wish)


def test_a_lost_checkpoint_of_a_pretraining_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(tmp_path)
    stop_at_13(paths, monkeypatch)
    (paths.resume / "state.safetensors").unlink()
    assert worker.main([str(paths.root)]) == 0
    messages = [event.what.message for event in read_journal(paths.journal) if isinstance(event.what, Warned)]
    assert messages == [f"The checkpoint of round 0, step 13 is not in {paths.resume} any more: round 0 begins again."]
