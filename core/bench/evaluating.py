"""Times a whole evaluation, a round that picks its best step, and the scoring of a stored prediction file."""

import json
import tempfile
from pathlib import Path

from ..decode import Hypothesis
from ..evaluate.evaluate import evaluate, floors_of, write_predictions
from ..recipe import Evaluation as EvaluationRecipe
from ..score import metrics
from .decoding import BEAM, LONGEST
from .ground import Ground
from .measure import Goal, Result, faster, in_turn, sample, timed
from .reference import PaddedTrainer, slow_beam_search

NAME, ROUND = "evaluation", "picking-best"
ROWS = 1400


def evaluation(ground: Ground, size: str) -> list[Result]:
    """BLEU of validation rows with beam 10, and the same predictions scored again."""
    rows = min(24 if ground.quick else ROWS, len(ground.valid.rows))
    chosen = ground.valid.take(range(rows))
    recipe = EvaluationRecipe(rows=0, beam=BEAM, max_length=LONGEST, batch_size=32)
    model = ground.model(size)
    floors = floors_of(chosen.rows)
    evaluated = evaluate(model, ground.reader, chosen, recipe, floors=floors)
    whole = sample([evaluated.seconds])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.jsonl"
        write_predictions(evaluated, file)
        again = sample([timed(lambda: _score_again(file)) for _ in range(3)])
    floors = evaluated.floors
    note = f"BLEU {evaluated.result.scores.bleu:.2f} (name {floors.name.bleu:.2f}, constant {floors.constant.bleu:.2f})"
    goal = Goal(60.0, at_least=False) if rows == ROWS else None
    what = f"BLEU of {rows:,} rows, beam {BEAM}"
    return [
        Result(NAME, size, what, "", "s", whole, None, whole.median, is_ratio=False, goal=goal, note=note),
        Result(NAME, size, f"scoring a file of {rows:,} predictions", "", "s", again, None, again.median, is_ratio=False),
    ]


def _score_again(file: Path) -> metrics.ScoredPredictions:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return metrics.score([line["prediction"] for line in lines], [line["reference"] for line in lines])


def picking_best(ground: Ground, size: str) -> list[Result]:
    """A fifth of the paper's 100 steps and its 300 rows: 20 steps and one evaluation of 60 rows."""
    steps, rows = (1, 2) if ground.quick else (20, 60)
    model, batches = ground.model(size), ground.batches(steps, 8)
    places = [(2 * place + 1) * len(ground.valid.rows) // (2 * rows) for place in range(rows)]
    chosen = ground.valid.take(places)
    recipe = EvaluationRecipe(rows=0, beam=BEAM, max_length=8 if ground.quick else LONGEST, batch_size=16)
    trainer, reference = ground.trainer(model, {}), PaddedTrainer(model)
    floors = floors_of(chosen.rows)

    def ours() -> None:
        for batch in batches:
            trainer.train_step(batch)
        evaluate(model, ground.reader, chosen, recipe, floors=floors)

    def theirs() -> None:
        for batch in batches:
            reference.train_step(batch)
        model.eval()
        best = [slow_beam_search(model, source, BEAM, recipe.max_length) for source in chosen.sources]
        _scored(ground, best, [row.target for row in chosen.rows])

    sides = in_turn(lambda turn: timed(ours, ground.synchronise), lambda turn: timed(theirs, ground.synchronise), 1, warm=False)
    ground.forget()  # the weights are trained now, and no other comparison must use them
    what = f"{steps} steps and an evaluation of {rows} rows"
    return [faster(ROUND, size, what, "the reference's algorithms", sides, 8.0, unit="s")]


def _scored(ground: Ground, best: list[Hypothesis], references: list[str]) -> metrics.ScoredPredictions:
    return metrics.score([ground.reader.text(one.tokens) for one in best], references)
