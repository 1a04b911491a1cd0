"""The end of a round: picks its weights, scores them, measures its matrices, and writes it to disk, complete or absent.

After a kill anywhere in between, all of it is done again from the round's last resume point, with the same bits
where the run is deterministic (`trainer`).
"""

import json
from dataclasses import asdict

import torch

from ..atomic import complete_or_absent
from ..compress import figures
from ..compress.masks import Masks, load_masks, save_masks, sparsity_of
from ..evaluate.evaluate import Evaluation, Uncertainty, uncertainty, write_predictions
from ..families.device import describe
from ..model import save_model
from ..run.encoder_off import EncoderOff
from ..run.events import Picked, RoundFinished
from . import leftovers
from .checkpoint import load_tensors, one_tensor, save_tensors, set_weights, usable
from .loop import Loop
from .round import Round, kept, size
from .scoring import CommentScores, floors


def end_round(round_: Round, loop: Loop, examiner: CommentScores) -> None:
    """Picks the round's weights, scores them, and writes the round to disk; of several ranks, rank 0 writes.

    Args:
        round_: The round.
        loop: After its training; its last resume point is on disk or being written.
        examiner: The loop's.

    Raises:
        StopRequested: On command, while the weights were scored; the round's last point is on disk.
        RunError: The picked weights are missing.
    """
    session, number, last = round_.session, round_.number, loop.trainer.step
    step, bleu, reason = examiner.picker.pick(last)
    if step != last:
        loop.settle()  # the best weights may still be on their way to the disk
        session.ranks.wait()
        _take_best(round_, examiner, step)
    session.emit(Picked(round=number, step=step, bleu=bleu, reason=reason))
    known = examiner.newest if examiner.newest is not None and examiner.newest[0] == step else None
    evaluation = known[1] if known else examiner.evaluate(step, last, lambda: None)
    precision = examiner.measure_precision(step, last, evaluation, loop.settle) if _measures_precision(round_) else None
    encoder_off = examiner.evaluate_encoder_off(step, last, evaluation, loop.settle) if number == 0 else None
    round_.material.model.config.pretrained_only = False
    if not session.ranks.leads:
        return
    own = round_.own_masks(loop.trainer.masks)
    # Round 0 has masks too, of ones, so that a reader of rounds need not treat the dense one differently.
    masks = round_.all_masks(loop.trainer.masks)
    # Before the round is on disk: after a kill in between, the round's end is done again, and no figure is missing.
    _measure_matrices(round_, masks)
    loop.settle()
    compared = uncertainty(evaluation, session.paths.round(0) / "predictions.jsonl" if number else None)
    facts = _mask_facts(round_, own, masks) | {
        "steps": last,
        "picked_step": step,
        "picked_because": reason,
        "measurements": examiner.measurements,
        **_score_facts(round_, evaluation, compared, encoder_off),
        **({"decoding_precision": {name: asdict(each) for name, each in precision.items()}} if precision is not None else {}),
        "seconds": round(loop.seconds, 3),
        "decoding": _decoding(round_, evaluation),
    }
    _write(round_, facts, evaluation, masks, loop)
    session.emit(
        RoundFinished(
            round=number,
            sparsity=round_.pruned(own)[0],
            scores=evaluation.scores,
            steps=last,
            seconds=round(loop.seconds, 3),
            size_bytes=_size_bytes(round_, masks),
            before=sparsity_of(round_.material.masks),
            against_dense=dict(compared.against_dense),
        )
    )


def _measures_precision(round_: Round) -> bool:
    """Whether this round measures what decoding in another precision than the model's changes: once a run."""
    return round_.number == 0 and round_.session.recipe.evaluation.precision != "model"


def _take_best(round_: Round, examiner: CommentScores, step: int) -> None:
    """Sets the model to the best weights of the round, by its picker."""
    again = f"Delete {round_.session.paths.resume} and resume: round {round_.number} begins anew."
    with usable(examiner.best_file, again):
        facts, best = load_tensors(examiner.best_file)
        assert (facts["round"], facts["step"]) == (round_.number, step), "it is of another step"
        set_weights(round_.material.model, best)


def _measure_matrices(round_: Round, masks: Masks) -> None:
    """Journals the figures of each matrix that the screens show."""
    number, before = round_.number, round_.session.paths.round(round_.number - 1)
    weights = dict(round_.material.model.named_parameters())
    # They may have been deleted to make room: that costs figures, not the run.
    still_there = number > 0 and (before / "masks.safetensors").exists()
    old = load_masks(before / "masks.safetensors") if still_there else {}
    for name, mask in masks.items():
        weight_before = one_tensor(before / "model.safetensors", name, old.get(name)) if number > 0 else None
        known = figures.Before(old.get(name), weight_before)
        round_.session.emit(figures.measure(number, name, weights[name], mask, known, round_.heads.of(name)))


def _size_bytes(round_: Round, masks: Masks) -> int:
    """Bytes of the model, stored as a bitmask and values."""
    parameters = sum(weight.numel() for weight in round_.material.model.parameters())
    return figures.sparse_bytes(parameters, size(masks), kept(masks))


def _mask_facts(round_: Round, own: Masks, masks: Masks) -> dict[str, object]:
    sparsity, left, total = round_.pruned(own)
    smaller = round_.material.smaller
    return {
        "round": round_.number,
        "sparsity": sparsity,
        "sparsity_before": sparsity_of(round_.material.masks),
        "kept": left,
        "total": total,
        "size_bytes": _size_bytes(round_, masks),
        **({"entries": list(smaller.entries)} if smaller is not None else {}),
    }


def _score_facts(
    round_: Round, evaluation: Evaluation, compared: Uncertainty, encoder_off: EncoderOff | None
) -> dict[str, object]:
    return {
        "split": round_.session.recipe.evaluation.split,
        "rows": len(evaluation.rows),
        "scores": evaluation.scores.facts(),
        "floors": {name: floor.facts() for name, floor in floors(evaluation).items()},
        "signatures": evaluation.signatures,
        **compared.facts(),
        **({"encoder_off": encoder_off.facts()} if encoder_off is not None else {}),
    }


def _decoding(round_: Round, evaluation: Evaluation) -> dict[str, object]:
    """How long decoding took, and on which device: times from another one cannot be compared with it."""
    settings, decoded = round_.session.recipe.evaluation, evaluation.decoded
    return {
        "seconds": round(decoded.seconds, 4),
        "rows": len(decoded.texts),
        "tokens": decoded.tokens,
        "beam": settings.beam,
        **({"length_penalty": settings.length_penalty} if settings.length_penalty else {}),
        "batch_size": decoded.batch_size,
        "device": describe(round_.material.model.device),
        "threads": torch.get_num_threads(),
    }


def _packed(round_: Round, masks: Masks) -> Masks:
    """The masks of the matrices of which kept weights alone are stored: all others are 0, and the masks lie beside them."""
    return {name: mask for name, mask in masks.items() if round_.session.recipe.pruning.pack and not bool(mask.all())}


def _write(round_: Round, facts: dict[str, object], evaluation: Evaluation, masks: Masks, loop: Loop) -> None:
    """Writes the round to disk, with the digests of the files that later rounds read."""
    model = round_.material.model
    round_.session.check()
    with complete_or_absent(round_.session.paths.round(round_.number)) as draft:
        save_model(model, round_.material.reader, draft, packed=_packed(round_, masks))
        save_masks(masks, draft / "masks.safetensors")
        write_predictions(evaluation, draft / "predictions.jsonl")
        if loop.trainer.movements and round_.steps and round_.number < round_.session.recipe.rounds:
            save_tensors(draft / leftovers.MOVEMENTS, loop.trainer.movements)
        files = (*leftovers.ROUND_FILES, leftovers.MOVEMENTS)
        facts["digests"] = leftovers.digests(draft, files) | {leftovers.REWIND: loop.rewind}
        (draft / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
