"""The round loop: train, pick, prune, rewind.

    masks = keep(scores, masks, scope, sparsity)
    round = train(rewind(model), masks, objective)

Round 0 is dense. A later round is pruned from the weights that the previous round picked, then all weights are rewound. The next
round is read off the disk: rounds are complete there or absent, and `resume/` holds a point inside the next one, masks included.
So a run that is killed anywhere and resumed ends with the same bits (on a GPU with `training.deterministic`). A run without
pruning rounds is a fine-tuning. Follows the paper (see `docs/`); how masks are made is `masking`'s business, how a round trains
`loop`'s, how it ends `round_end`'s.
"""

import torch
from torch import Tensor

from ..compress.masks import Masks, apply_masks
from ..compress.selection import Method
from ..families.memory import give_back
from ..families.roberta import drawn_anew
from ..run.events import Rewound, RoundStarted, RunFinished, Warned
from ..run.folder import number_of, read_metrics
from ..seeds import derive_seed
from ..spec import given
from ..spec.schedule import sparsities
from . import leftovers
from .checkpoint import Checkpoint, load_checkpoint, load_tensors, save_tensors, set_weights, usable, views_of
from .loop import Loop, ResumePoint, Stage
from .masking import GrowMasks, growing, make_masks, movements
from .objectives import WriteComments
from .round import Material, Round
from .round_end import end_round
from .scoring import CommentScores
from .session import Session
from .shrinking import write_shrunk
from .teacher import teacher_of
from .trainer import Trainer, stored_masks
from .vocabulary import smaller_material


def run_lottery(session: Session, material: Material) -> None:
    """Does all rounds that are not done yet.

    Args:
        session: Journal, commands, recipe, folder.
        material: Model and data, the model with the weights that the run starts from.

    Raises:
        StopRequested: On command, a checkpoint is on disk.
        TrainingError: The loss is no finite number.
        RunError: A file that an earlier process of the run left is missing or has changed.
    """
    if warning := leftovers.check_rounds(session.paths, session.recipe.rounds):
        session.emit(Warned(message=warning))
    first = session.paths.next_round
    checkpoint = load_checkpoint(session.paths.resume)
    if checkpoint is not None and checkpoint.facts.get("round") != first:
        checkpoint = None
    if checkpoint is None and (warning := leftovers.lost_checkpoint(session.paths, first)):
        session.emit(Warned(message=warning))
    rewind = _rewind_point(session, material, first, checkpoint)
    for number in range(first, session.recipe.rounds + 1):
        material = smaller_material(session, material, number)
        rewind = run_round(Round(session, material, number), rewind, checkpoint)
        checkpoint = None
        give_back()  # the optimizer's state is twice the model, and the next round makes its own
        session.control.round_ended()
        if number < session.recipe.rounds:
            session.breathe(number, session.recipe.training.steps, lambda: None)  # the round on disk is the checkpoint
    if session.recipe.pruning.shrink and session.recipe.rounds and session.ranks.leads:
        material = smaller_material(session, material, session.recipe.rounds)
        write_shrunk(session, material, anew=first <= session.recipe.rounds)
    session.emit(RunFinished(rounds=session.recipe.rounds))


def _rewind_point(session: Session, material: Material, number: int, checkpoint: Checkpoint | None) -> str:
    """Makes sure that the weights that later rounds rewind to are on disk; returns the digest of their file.

    Args:
        session: The run.
        material: With the weights that the run starts from.
        number: The next round.
        checkpoint: The resume point inside it, if there is one.
    """
    paths, recipe = session.paths, session.recipe
    if not session.ranks.leads:  # it is read long after rank 0 has seen to it
        return ""
    if number == 0 and checkpoint is None:
        model, seed = material.model, derive_seed(recipe.training.seed, "random rewind")
        save_tensors(paths.rewind, drawn_anew(model, seed) if recipe.rewind.to == "random" else views_of(model))
    if recipe.rounds == 0 or recipe.rewind.to == "none" or number > recipe.rounds:
        return ""
    step = checkpoint.facts.get("step") if checkpoint is not None else 0
    if number == 0 and isinstance(step, int) and step < (recipe.rewind_step or 0):
        return ""  # that step is yet to come
    recorded = checkpoint.facts.get("rewind") if checkpoint is not None else None
    recorded = recorded or (leftovers.recorded_digests(paths, number - 1).get(leftovers.REWIND) if number else None)
    leftovers.check_file(
        paths.rewind, str(recorded) if recorded else None, f'the weights that rounds rewind to ("{recipe.rewind.to}")'
    )
    return leftovers.digest(paths.rewind)


def run_round(round_: Round, rewind: str, checkpoint: Checkpoint | None) -> str:
    """Runs a round, or the rest of it, and writes it to disk.

    Args:
        round_: The round.
        rewind: Digest of the weights that rounds rewind to; "" where they are not needed, or not made yet.
        checkpoint: The point inside the round where it was interrupted; None at its beginning.

    Returns:
        The digest as it is after the round.

    Raises:
        StopRequested: On command, a checkpoint is on disk.
        TrainingError: The loss is no finite number.
        RunError: The checkpoint, or a file that it needs, is missing or damaged.
    """
    session, began = round_.session, round_.session.clock()
    if checkpoint is None:
        session.emit(RoundStarted(round=round_.number, sparsity=_planned(round_), steps=round_.steps))
    begin_anew = f"Delete {session.paths.resume} and resume: round {round_.number} begins anew."
    with usable(session.paths.resume, begin_anew):
        point = ResumePoint.of(checkpoint)
        examiner = CommentScores(round_, point.measurements)
        masks = stored_masks(round_.material.model, checkpoint.tensors) if checkpoint else {}
    ranks = session.ranks
    masks = masks or ranks.made_once(round_.material.model, lambda: make_masks(round_, announce=checkpoint is None))
    sums = movements(round_)
    stage = _stage(round_, examiner, masks, sums)
    training, objective, rounds = session.recipe.training, stage.objective, _trained_rounds(session)
    trainer = Trainer(round_.material.model, objective.loss, masks, training, rounds, session.accelerator, sums, ranks)
    if checkpoint is None:
        _go_back(round_, masks)
        torch.manual_seed(ranks.seed(derive_seed(training.seed, "dropout", round_.number)))
    else:
        with usable(session.paths.resume, begin_anew):
            trainer.load_state(checkpoint.tensors, point.step)
            examiner.check_best(checkpoint)
    loop = Loop(session, stage, trainer, point if checkpoint else None, began, rewind)
    if checkpoint is None and round_.number and Method.of(session.recipe.pruning).needs:
        loop.save()  # masks that were measured are not measured twice
    loop.run()
    end_round(round_, loop, examiner)
    return loop.rewind


def _stage(round_: Round, examiner: CommentScores, masks: Masks, sums: dict[str, Tensor] | None) -> Stage:
    """What the training loop has to know of a round."""
    recipe, material, number = round_.session.recipe, round_.material, round_.number
    parts, teacher = (material.model, material.train, recipe.training.label_smoothing), teacher_of(round_, masks)
    grow = growing(round_, sums)
    objective = WriteComments(*parts, teacher=teacher) if grow is None else GrowMasks(*parts, teacher=teacher, grow=grow)
    rewind_step = recipe.rewind_step if number == 0 else None
    return Stage(number, round_.steps, number * recipe.training.steps, objective, examiner, rewind_step)


def _planned(round_: Round) -> float:
    """The sparsity that the recipe plans for a round, in [0, 1]; where it plans a speed, that of the round before."""
    recipe, material = round_.session.recipe, round_.material
    if recipe.pruning.budget == "latency" and round_.number:  # how sparse a speed makes it shows once the round is pruned
        return number_of((read_metrics(round_.session.paths.round(round_.number - 1)) or {}).get("sparsity")) or 0.0
    if not recipe.pruning.masked:
        return round_.pruned({})[0]
    planned = given.reached(recipe, material.counts()) if material.masks else sparsities(recipe)
    return planned[round_.number]


def _trained_rounds(session: Session) -> int:
    """Rounds that train, for the "all-rounds" schedule of the learning rate."""
    return max(1, session.recipe.rounds + (1 if session.recipe.order == "train-first" else 0))


def _go_back(round_: Round, masks: Masks) -> None:
    """Sets the weights that a round begins with: those of the rewind point, or the present ones; pruned ones are 0."""
    session, model, to = round_.session, round_.material.model, round_.session.recipe.rewind.to
    if round_.number > 0 and to != "none":
        with usable(session.paths.rewind, "Restore it, or start a new run with the same recipe."):
            _, weights = load_tensors(session.paths.rewind)
            set_weights(model, round_.material.fit(weights))
        session.emit(Rewound(round=round_.number, to=to))
    apply_masks(dict(model.named_parameters()), masks)
