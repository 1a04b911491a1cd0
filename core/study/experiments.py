"""The paper's experiments as recipes: which runs each one compares, at the paper's size or at one for two CPU cores.

A curve is one way to prune; a run is one curve with one seed. Experiments share curves, so that a run that two figures need is
made once. A run belongs to a curve by what its recipe asks for, not by its name. Torch-free; knows neither folders nor processes.

Source: Gu, Sonecha, Vedantam, Runwal, Misra, "Pruning CodeBERT for Improved Code-to-Text Efficiency"; decoder pruning is in its
code, not in its text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import RecipeError
from ..recipe import FINETUNED, PRETRAINED, Data, Recipe, build_recipe

Scale = Literal["small", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)

Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Curve:
    """One way to prune, compared with others at every sparsity."""

    name: str
    """Also the stem of its runs' names."""
    title: str
    """What a legend says."""
    criterion: str = "magnitude"
    scope: str = "global"
    batch_size: int = 8
    rewind: str = "finetuned"
    picker: str = "last"
    prunable: str = "encoder"
    measures: bool = False
    """Whether BLEU is measured inside the rounds, as Experiment 3 needs it: with "last" that is what may stop a round early."""

    @property
    def settings(self) -> Settings:
        """The keys of a recipe that make the curve."""
        return {
            "pruning": {"criterion": self.criterion, "scope": self.scope, "prunable": self.prunable},
            "rewind": {"to": self.rewind},
            "picker": {"rule": self.picker},
            "training": {"batch_size": self.batch_size},
        }


@dataclass(frozen=True)
class Experiment:
    """Curves that answer one of the paper's questions."""

    name: str
    title: str
    shows: str
    """One line: what it is to show."""
    figure: str
    """Where the paper has it; empty where it has it in its code alone."""
    curves: tuple[str, ...] = ()
    """Names of `CURVES`; none for the quantization of a model, which trains nothing."""
    seeds: int = 1
    """How many seeds make it believable: three for the paper's two main comparisons."""


def _curves(*curves: Curve) -> dict[str, Curve]:
    return {curve.name: curve for curve in curves}


CURVES: dict[str, Curve] = _curves(
    Curve("l1-b16-pretrained", "L1, batch 16, rewind to pre-trained", rewind="pretrained", batch_size=16),
    Curve("random-b16-pretrained", "random, batch 16, rewind to pre-trained", "random", rewind="pretrained", batch_size=16),
    Curve("l1-b8-pretrained", "L1, batch 8, rewind to pre-trained", rewind="pretrained"),
    Curve("l1-b8-finetuned", "L1, batch 8, rewind to fine-tuned"),
    Curve("random-b8-finetuned", "random, batch 8, rewind to fine-tuned", "random"),
    Curve("layerwise-last", "layer-wise L1, picking last", scope="layerwise", measures=True),
    Curve("layerwise-best", "layer-wise L1, picking best", scope="layerwise", picker="best", measures=True),
    Curve(
        "layerwise-best-no-stop", "layer-wise L1, picking best, no stop",
        scope="layerwise", picker="best-no-stop", measures=True,
    ),
    Curve(
        "l1-layerwise-b16-pretrained", "layer-wise L1, batch 16, rewind to pre-trained",
        scope="layerwise", rewind="pretrained", batch_size=16,
    ),
    Curve(
        "random-layerwise-b16-pretrained", "layer-wise random, batch 16, rewind to pre-trained",
        "random", "layerwise", rewind="pretrained", batch_size=16,
    ),
    Curve("decoder-l1-b8-finetuned", "L1 on the decoder, batch 8, rewind to fine-tuned", prunable="decoder"),
)  # fmt: skip

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "experiment-1",
            "L1 against random",
            "whether pruning by magnitude beats pruning at random, rewinding to the pre-trained weights",
            "Figure 3",
            ("l1-b16-pretrained", "random-b16-pretrained"),
            3,
        ),
        Experiment(
            "figure-4",
            "Batch 8 against 16",
            "whether training each round with batch 8 beats batch 16",
            "Figure 4",
            ("l1-b8-pretrained", "l1-b16-pretrained"),
            3,
        ),
        Experiment(
            "experiment-2",
            "Rewinding to fine-tuned against pre-trained",
            "from which weights the kept ones should start again, at low and at high sparsity",
            "Figure 5",
            ("l1-b8-finetuned", "l1-b8-pretrained"),
            3,
        ),
        Experiment(
            "experiment-3",
            "From which weights to prune",
            "whether over-fitted weights make worse masks: picking last, best, and best without an early stop",
            "Figure 6",
            ("layerwise-last", "layerwise-best", "layerwise-best-no-stop"),
        ),
        Experiment(
            "layerwise",
            "Layer-wise against global",
            "whether each matrix should be ranked alone, for L1 and for random pruning",
            "",
            ("l1-layerwise-b16-pretrained", "random-layerwise-b16-pretrained", "l1-b16-pretrained", "random-b16-pretrained"),
        ),
        Experiment(
            "random-finetuned",
            "L1 against random, rewinding to fine-tuned",
            "whether magnitude still matters when the kept weights start from the fine-tuned model",
            "",
            ("random-b8-finetuned", "l1-b8-finetuned"),
        ),
        Experiment(
            "decoder",
            "Decoder pruning",
            "what pruning the decoder costs, which the paper's code can do and its text leaves out",
            "",
            ("decoder-l1-b8-finetuned", "l1-b8-finetuned"),
        ),
        Experiment(
            "quantization",
            "Quantization",
            "what fp16, bf16 and three kinds of INT8 cost in quality, size and time",
            "Figure 2",
        ),
    )
}

# Sized for CPU cores, one run a core: the bundled models, ten rounds, 500 rows of validation. Label smoothing is that of the
# bundled model's own training, so that its rounds go on where it ended. bf16 halves the time where the CPU has it.
SMALL: dict[str, dict[str, object]] = {
    "data": {"source_length": 96, "target_length": 48, "shortest_comment": 7},
    "training": {
        "preset": "sane",
        "steps": 300,
        "learning_rate": 3e-4,
        "label_smoothing": 0.1,
        "precision": "bf16",
        "threads": 1,
        "checkpoint_every": 100,
    },
    "evaluation": {"rows": 500, "beam": 10, "max_length": 48, "batch_size": 32},
}
# The paper's own settings, its schedule that only ever warms up included.
PAPER: dict[str, dict[str, object]] = {
    "data": {"source_length": 256, "target_length": 128},
    "training": {"preset": "paper", "steps": 3000, "checkpoint_every": 500},
    "evaluation": {"rows": 0, "beam": 10, "max_length": 128, "batch_size": 0},
}
SIZES: dict[Scale, dict[str, dict[str, object]]] = {"small": SMALL, "paper": PAPER}
FROM_PRETRAINED: dict[Scale, dict[str, object]] = {"small": {"steps": 1500}, "paper": {}}
"""Other training where rounds begin at the pre-trained weights, whose decoder is new to the task: 300 steps keep a fine-tuned
model at its level, but do not bring this one near it (docs/reproduction)."""
MEASURE_EVERY = 100
"""Steps between two measurements inside a round, where a curve needs them; as in the paper."""
ROUNDS: dict[str, object] = {"schedule": "linear", "rounds": 9, "final_sparsity": 0.9}
"""Dense, then 10 % more of the original weights in each round: ten rounds, 0 to 90 %."""


@dataclass(frozen=True)
class Material:
    """What the experiments are run on."""

    data: str = Data().path
    """Folder or hub name of the rows; by itself the corpus that comes with the package."""
    pretrained: str = PRETRAINED
    """Model that runs which rewind to pre-trained weights start from."""
    finetuned: str = FINETUNED
    """Model that the others start from."""


@dataclass(frozen=True)
class Planned:
    """One run to be made."""

    curve: str
    seed: int
    recipe: Recipe
    name: str = field(compare=False)
    """Of its folder."""


def recipe_of(curve: str, scale: Scale, seed: int = 0, material: Material | None = None) -> Recipe:
    """The recipe of one run.

    Args:
        curve: One of `CURVES`.
        scale: "small" or "paper".
        seed: Of data order, dropout, fresh weights and random scores; the rows that are scored stay the same.
        material: Models and data; None for those that come with the package.

    Returns:
        The validated recipe.
    """
    material, chosen, size = material or Material(), CURVES[curve], SIZES[scale]
    own, longer = chosen.settings, FROM_PRETRAINED[scale] if chosen.rewind == "pretrained" else {}
    return build_recipe(
        {
            "kind": "lottery",
            "model": {"path": material.pretrained if chosen.rewind == "pretrained" else material.finetuned},
            "data": {**size["data"], "path": material.data},
            "pruning": {**ROUNDS, **own["pruning"]},
            "rewind": own["rewind"],
            "picker": {**own["picker"], "every": MEASURE_EVERY if chosen.measures else 0},
            "training": {**size["training"], **longer, **own["training"], "seed": seed},
            "evaluation": size["evaluation"],
        },
        curve,
    )


def curve_of(recipe: Recipe) -> str | None:
    """The curve that a run belongs to, whatever its model, data, steps and seed.

    Args:
        recipe: The run's.

    Returns:
        One of `CURVES`, or None where the recipe is of no experiment.
    """
    if recipe.kind != "lottery":
        return None
    settings = recipe.model_dump()
    for name, curve in CURVES.items():
        same = all(settings[table][key] == value for table, keys in curve.settings.items() for key, value in keys.items())
        if same and curve.measures == (recipe.picker.every > 0):
            return name
    return None


def is_of_the_paper(recipe: Recipe) -> bool:
    """Whether a run was made as `recipe_of` has it, at either scale, whatever its model and data: one of the paper's experiments.

    `curve_of` is not enough: any two runs that differ in their criterion alone are two of its curves.

    Args:
        recipe: The run's.
    """
    curve = curve_of(recipe)
    if curve is None:
        return False
    material = Material(recipe.data.path, recipe.model.path, recipe.model.path)
    return any(without_seed(recipe_of(curve, scale, 0, material)) == without_seed(recipe) for scale in SCALES)


def plan(experiments: tuple[str, ...], scale: Scale, seeds: int | None, material: Material | None = None) -> list[Planned]:
    """The runs that some experiments need, each once; first seeds first, so that every comparison has one early.

    Args:
        experiments: Names of `EXPERIMENTS`; none for all of them.
        scale: "small" or "paper".
        seeds: How many seeds for every curve; None for as many as each experiment asks for.
        material: As for `recipe_of`.

    Returns:
        The runs, in the order in which they are to be made.

    Raises:
        RecipeError: There is no such experiment.
    """
    chosen = [_experiment(name) for name in experiments] or list(EXPERIMENTS.values())
    rounds_by_run: dict[str, int] = {}
    for experiment in chosen:
        for curve in experiment.curves:
            rounds_by_run[curve] = max(rounds_by_run.get(curve, 0), seeds if seeds is not None else experiment.seeds)
    return [
        Planned(curve, seed, recipe_of(curve, scale, seed, material), f"{scale}-{curve}-s{seed}")
        for seed in range(max(rounds_by_run.values(), default=0))
        for curve, count in rounds_by_run.items()
        if seed < count
    ]


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise RecipeError(f"There is no experiment {name!r}.", f"There are: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def without_seed(recipe: Recipe) -> str:
    """What the runs of one curve have in common: the recipe without its seed, and without what belongs to the machine."""
    same = {"seed": 0, "threads": 0, "device": "auto", "checkpoint_every": 1}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=same)}).model_dump_json()
