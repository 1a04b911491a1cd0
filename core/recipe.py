"""What a run is asked to do: pydantic models, and their TOML form.

A recipe is validated once, here, and then passed around frozen. It knows nothing of torch, folders that exist or machines:
whether a model folder can be loaded is the business of the module that loads it. Defaults follow the paper (see the docs)
except where a field says otherwise; `training.preset = "paper"` gives the paper's own training settings, traps included.
"""

import difflib
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Self, Union, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .errors import RecipeError
from .program import program
from .regularfile import TOML_BYTES, parse_toml, read_text, reason

Kind = Literal["lottery", "finetune", "pretrain"]
Criterion = Literal["magnitude", "random", "wanda", "sparsegpt", "taylor", "fisher", "movement", "magnitude-inverted", "shuffled"]
Scope = Literal["layerwise", "global", "row"]
Budget = Literal["uniform", "global", "lamp", "owl", "latency"]
PrunablePreset = Literal["encoder", "encoder-attention", "encoder-ffn", "decoder", "all"]
Unit = Literal[
    "weight", "head", "neuron", "head+neuron", "layer", "vocabulary",
    "head+vocabulary", "neuron+vocabulary", "head+neuron+vocabulary", "layer+vocabulary",
]  # fmt: skip
Schedule = Literal["linear", "geometric", "one-shot"]
Order = Literal["auto", "train-first", "prune-first"]
PickerRule = Literal["last", "best", "best-no-stop"]
WarmupPolicy = Literal["round", "all-rounds", "constant"]
Precision = Literal["auto", "fp32", "bf16"]
DecodingPrecision = Literal["model", "bf16"]
Objective = Literal["mask", "denoise"]
Device = str
"""One of `DEVICES`, or a GPU with its number; `DEVICE_PATTERN` says it exactly."""

QUOTED = 80
"""Most characters of a value that an error quotes."""
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
"""What values of a type are called in errors."""
VOCABULARY = "vocabulary"
"""The unit whose weights carry no masks: its entries are dropped."""
NEW_MODEL = "new"
DENSE = "dense"
"""The teacher that is a run's own round 0."""
PRETRAINED, FINETUNED = "checkpoints/bundled/ruby-mini-pretrained", "checkpoints/bundled/ruby-mini"
"""The models that come with the package."""
PATTERN_PATTERN = r"^(|[1-9][0-9]?:[1-9][0-9]?|[1-9][0-9]?x[1-9][0-9]?)$"
REWIND_PATTERN = r"^(pretrained|finetuned|none|random|step:[1-9][0-9]*)$"
DEVICES = ("auto", "cpu", "cuda", "mps")
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,4})?)$"
PATTERNS: dict[str, list[str]] = {
    "rewind.to": ["pretrained", "finetuned", "none", "random", "step:K (such as step:100)"],
    "pruning.pattern": ["nothing", "n:m such as 2:4", "rows x columns of a block such as 4x4"],
    "training.device": [*DEVICES, "cuda:N (such as cuda:1)"],
}
"""Keys whose values follow a pattern -> the values in words."""

LOOKING = ("wanda", "sparsegpt", "taylor", "fisher", "movement")
"""Criteria that look at data, and so at calibration rows."""

TRAINING_PRESETS: dict[str, dict[str, object]] = {
    # AdamW 5e-5, eps 1e-8, no decay, no clipping, batch 8; the rate is warmed up over 10 % of ALL rounds and rebuilt every
    # round, so that inside one round it only ever rises. That is how the paper's figures came about.
    "paper": {
        "batch_size": 8,
        "learning_rate": 5e-5,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
        "warmup": "all-rounds",
        "label_smoothing": 0.0,
        "precision": "fp32",
        "tf32": False,
    },
    # The rate rises and falls inside each round, so that every round ends with a settled model.
    "sane": {
        "batch_size": 16,
        "learning_rate": 2e-4,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "warmup": "round",
        "label_smoothing": 0.0,
        "precision": "auto",
        "tf32": False,
    },
}


OLDER_DEFAULTS: dict[str, dict[str, object]] = {"training": {"precision": "fp32"}, "evaluation": {"batch_size": 16}}
"""Table -> key -> default of an older version."""


class Section(BaseModel):
    """One table of the recipe: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Model(Section):
    """Which model the run starts from."""

    path: str = Field(default=FINETUNED, min_length=1)
    """Folder of a model (own, CodeXGLUE or Hugging Face), a hub name such as microsoft/codebert-base, or "new" for an
    untrained one built from [architecture]."""
    decoder_layers: int = Field(default=6, ge=1, le=24)
    """Layers of the fresh decoder that an encoder without one is given; otherwise the checkpoint decides."""
    keep_zeros: bool = False
    """Take weights that are exactly 0 for pruned ones, in a model that brings no masks (after prune.remove)."""


class Architecture(Section):
    """Sizes of an untrained model; read only where model.path is "new"."""

    vocab_size: int = Field(default=8000, ge=300, le=100_000)
    """Entries of the byte-level BPE tokenizer that is trained on the training split."""
    hidden: int = Field(default=256, ge=8, le=4096)
    """Width of the model; a multiple of heads."""
    layers: int = Field(default=6, ge=1, le=48)
    """Encoder layers."""
    heads: int = Field(default=4, ge=1, le=64)
    """Attention heads, in encoder and decoder."""
    ffn: int = Field(default=1024, ge=8, le=16384)
    """Width of the feed-forward parts."""
    decoder_layers: int = Field(default=3, ge=1, le=24)
    """Decoder layers."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in encoder and decoder."""
    split_identifiers: bool = True
    """Split identifiers of the source into lower-case words, so that a small model can copy them."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not a multiple of heads = {self.heads}")
        return self


class Data(Section):
    """Where the rows come from."""

    path: str = Field(default="checkpoints/bundled/demo-ruby", min_length=1)
    """Folder with train, valid, test as rows of CodeXGLUE or CodeSearchNet (.jsonl, .jsonl.gz), as parquet, saved by datasets,
    or as folders of Ruby files; or a hub name such as google/code_x_glue_ct_code_to_text."""
    hub_config: str = "ruby"
    """Configuration of the hub data set."""
    on_broken_row: Literal["stop", "skip"] = "stop"
    """What to do with rows that cannot be used: stop with file and line, or count and skip them."""
    code: str = ""
    """Folder of further Ruby files that pre-training also learns from, documented or not; empty = none."""
    train_rows: int = Field(default=0, ge=0)
    """Use only the first so many training rows; 0 = all."""
    shortest_comment: int = Field(default=0, ge=0, le=256)
    """Train only on rows whose comment has so many words; 0 = on all. Beam search without a length penalty likes short
    comments best, and a model that has learned from whole sentences alone cannot fall back on them."""
    unpack_limit: int = Field(default=100, ge=0)
    """How many times its size a packed file of rows (.jsonl.gz) may unpack to; 0 = any. Real rows unpack to 5 to 20 times."""
    source_length: int = Field(default=256, ge=8, le=4096)
    """Longest source in tokens, <s> and </s> included."""
    target_length: int = Field(default=128, ge=4, le=1024)
    """Longest comment in tokens, <s> and </s> included."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which weights go together, or compete with each other alone."""

    kind: Literal["n:m", "block"]
    down: int
    """Rows of a block; weights that stay of a group of n:m."""
    across: int
    """Columns of a block; weights of a group of n:m, neighbours in a row."""


def pattern_of(text: str) -> Pattern | None:
    """A pattern such as "2:4" or "4x4"; None for "", single weights."""
    for sign, kind in ((":", "n:m"), ("x", "block")):
        first, separator, last = text.partition(sign)
        if separator:
            return Pattern(kind, int(first), int(last))  # type: ignore[arg-type]  # mypy sees a text, not which
    return None


def masked_unit(unit: str) -> str:
    """The units of a recipe's `unit` that masks hold at 0: all but the vocabulary, "" for nothing else."""
    return unit.removesuffix(VOCABULARY).removesuffix("+")


class Pruning(Section):
    """What is pruned, how much in which round."""

    criterion: Criterion = "magnitude"
    """Score of a weight, low goes first: magnitude (L1) or random. wanda, sparsegpt (which updates the kept weights: rewind to
    none), taylor, fisher and movement look at data; magnitude-inverted and shuffled are controls."""
    scope: Scope = "layerwise"
    """Which weights compete: those of one matrix (layerwise), of one row of it (row), or all prunable ones (global)."""
    budget: Budget = "uniform"
    """How sparsity is shared out over the matrices, for scope layerwise or row: all the same (uniform), as if all weights
    competed (global), by LAMP's scores (lamp), or less where a layer's inputs have outliers (owl). Of heads and neurons:
    uniform, or latency, which reaches a speed on this device at the least summed score."""
    speedup: float = Field(default=2.0, gt=1, le=100)
    """Times as fast as dense the last round decodes, at evaluation.batch_size and evaluation.beam; read only with budget =
    "latency", where it stands for final_sparsity."""
    pattern: str = Field(default="", pattern=PATTERN_PATTERN)
    """Empty for single weights; n:m keeps n of every m neighbours in a row, such as 2:4; blocks of rows x columns go as a whole,
    such as 4x4."""
    calibration_rows: int = Field(default=128, ge=1, le=100_000)
    """Training rows that criteria of data look at, drawn once for a run."""
    prunable: PrunablePreset = "encoder"
    """Which matrices may be pruned; "encoder" is the paper's list, the pooler included."""
    unit: Unit = "weight"
    """What goes as one: single weights, attention heads, neurons of the feed-forward blocks, both in competition (head+neuron, or
    a list), or whole layers. A unit's score is the mean over its weights; units that are pruned whole can be removed (shrink).
    vocabulary, alone or beside others, drops the entries that training uses least: once, in round 1, for good."""
    entries: int = Field(default=0, ge=0)
    """Entries of the vocabulary that stay, the least used go first; 0 = all that training rows use, and what these are made of,
    which of few rows may be too few. Read only with unit vocabulary: final_sparsity and speedup choose among the other units."""
    shrink: bool = False
    """Whether the run ends by writing its last round without the units that are pruned whole, into its folder shrunk."""
    pack: bool = True
    """Whether rounds hold, of pruned matrices, the kept weights and one bit for each place, which this program loads exactly;
    false stores every weight, for programs that read model.safetensors themselves."""
    schedule: Schedule = "linear"
    """How sparsity grows over the rounds: linear, geometric (the same share of what remains), or one-shot (all in round 1)."""
    rounds: int = Field(default=9, ge=0, le=200)
    """Rounds after the dense round 0; 0 only trains (fine-tunes) the dense model."""
    final_sparsity: float = Field(default=0.9, gt=0, le=1)
    """Pruned share of the prunable weights after the last round, in (0, 1]."""
    gradual_every: int = Field(default=0, ge=0)
    """Let masks grow inside each round, every so many steps, by the cubic schedule of Zhu and Gupta, from the sparsity of the
    round before to this round's; 0 = masks change between rounds only. The usual way is 1 round and rewind.to = "none"."""
    gradual_from: int = Field(default=0, ge=0)
    """Step of a round at which its masks begin to grow."""
    gradual_to: int = Field(default=0, ge=0)
    """Step after which they no longer grow; 0 = three quarters of training.steps."""
    order: Order = "auto"
    """train-first trains the dense model in round 0; prune-first takes it as it is. "auto": prune-first for a rewind to
    "finetuned", train-first otherwise."""

    @property
    def masked(self) -> str:
        """The units that masks hold at 0; "" where the vocabulary alone is pruned, whose entries are dropped."""
        return masked_unit(self.unit)

    @property
    def drops_entries(self) -> bool:
        """Whether entries of the vocabulary are dropped."""
        return self.unit.endswith(VOCABULARY)

    @field_validator("unit", mode="before")
    @classmethod
    def _list_of_units(cls, given: object) -> object:
        """Takes ["head", "neuron"] for "head+neuron"."""
        return "+".join(sorted(map(str, given))) if isinstance(given, list) else given


class Rewind(Section):
    """Which values the kept weights go back to after pruning."""

    to: str = Field(default="pretrained", pattern=REWIND_PATTERN)
    """pretrained or finetuned (the values the run started from), step:K (the values after K steps of round 0), none, or random
    (drawn anew once, all weights: a control that keeps of a ticket only its masks)."""


class Picker(Section):
    """From which weights of a round the next one is pruned."""

    rule: PickerRule = "last"
    """last: the round's last weights; best: the best-scoring ones; both stop early once a score is below the two before
    it. best-no-stop: all steps, then the best-scoring weights."""
    every: int = Field(default=0, ge=0)
    """Measure BLEU every so many steps; 0 = only at the end of a round (then nothing stops early)."""


class Training(Section):
    """How a round trains."""

    preset: Literal["sane", "paper"] = "sane"
    """Named values for those keys below that are not given: "paper" reproduces the paper's settings and traps, "sane" warms
    up and decays inside each round."""
    steps: int = Field(default=500, ge=1)
    """Optimizer steps a round."""
    batch_size: int = Field(default=16, ge=1, le=4096)
    """Rows an optimizer step."""
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    """Decoupled weight decay."""
    clip_norm: float = Field(default=1.0, ge=0)
    """Largest norm of all gradients together; 0 = no clipping."""
    warmup: WarmupPolicy = "round"
    """round: rise and linear fall inside each round; all-rounds: the paper's, a schedule as long as all rounds together but
    begun anew in each; constant: no schedule."""
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the schedule's length spent rising."""
    hold_encoder: int = Field(default=0, ge=0)
    """Steps at the start of a round in which the encoder's layers are not trained; afterwards their rate rises over as many.
    An untrained decoder's first gradients are alike for all tokens, and can level a small encoder's states for good."""
    encoder_rate: float = Field(default=1.0, ge=0, le=10)
    """Factor on the learning rate of the encoder's layers: below 1 where they are trained already and the decoder is not."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target probability spread over all tokens."""
    dropout: float = Field(default=-1, ge=-1, lt=1)
    """Share of the states dropped while training; -1 = as the model's configuration says. Attention keeps its own."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Drives data order, dropout, fresh weights and random scores."""
    teacher: str = ""
    """Model that teaches each round beside the comments: "dense", the run's own round 0, which then teaches all later ones, a
    folder, or empty for none. It must have the same tokenizer."""
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    """Share of the loss that the teacher's probabilities take over from the comments' own tokens."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """Divides the logits of teacher and student before they are compared; higher lets unlikely words count more."""
    teacher_states: float = Field(default=1.0, ge=0, le=1000)
    """Weight of the squared distance to the teacher's states after each layer; 0 = teach probabilities alone."""
    precision: Precision = "auto"
    """fp32, or bf16 autocast (weights and optimizer stay fp32); auto: bf16 on a GPU that has it, fp32 elsewhere."""
    tf32: bool = False
    """Whether a GPU may multiply fp32 matrices in TF32, whose fractions have 10 bits instead of 23; read on CUDA alone."""
    compile: bool = False
    """Whether torch.compile makes the training step, once for all lengths. Costs a minute or two at the start; the results agree
    with the uncompiled ones to rounding, not bit for bit. Not for objective = "mask"."""
    device: Device = Field(default="auto", pattern=DEVICE_PATTERN)
    """auto, cpu, cuda, cuda:N or mps. auto takes a GPU where there is one; auto and cuda take the one with the most free memory
    of those that CUDA_VISIBLE_DEVICES shows."""
    deterministic: bool = False
    """Whether a GPU may use only algorithms that give the same bits each time, so that a repeated or resumed run is the same
    there, too; it takes longer. On the CPU every run is."""
    processes: int = Field(default=1, ge=0, le=1024)
    """Processes that share the rows of each step and each evaluation, one a GPU; 0 = as many as there are GPUs. batch_size stays
    that of all together. Results agree with those of one process to rounding, but each draws its own dropout."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads; 0 = as many as cores, shared out among the processes. Bit-identical results need the same number."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between two resume checkpoints inside a round."""
    checkpoint_seconds: float = Field(default=30.0, ge=0, le=86_400)
    """Least seconds between two of them on a GPU, whose steps are short; 0 = none."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        preset = given.get("preset", "sane")
        return {**TRAINING_PRESETS[preset], **given} if isinstance(preset, str) and preset in TRAINING_PRESETS else given


class Pretraining(Section):
    """What a pre-training run learns; read only where kind is "pretrain"."""

    objective: Objective = "mask"
    """mask: the encoder finds masked tokens (BERT's way), its decoder starts fresh later. denoise: encoder and decoder together
    write hidden spans, and whole comments from their code."""


@dataclass(frozen=True, slots=True)
class Search:
    """How comments are searched for: what `core.decode` is asked, from wherever it is asked."""

    beam: int
    """Places in the beam; 1 is greedy decoding."""
    max_length: int
    """Tokens to write at most, `</s>` included."""
    n_best: int = 1
    """Hypotheses wanted for each source, at most `beam`."""
    batch_size: int = 0
    """Sources decoded together, 0 = as many as the device has room for; on the CPU the result does not depend on it."""
    length_penalty: float = 0.0
    """Power of its length by which a finished sentence's score is divided when the finished ones are put in order; 0 is the
    reference's order, 1 the mean log-probability of a token (Wu et al. 2016 use 0.6 to 1)."""

    @property
    def signature(self) -> dict[str, str]:
        """What a score has to say of the search beyond the recipe's beam: {} for the paper's, which has no length penalty."""
        if not self.length_penalty:
            return {}
        return {"decoding": f"beam:{self.beam}|max_length:{self.max_length}|length_penalty:{self.length_penalty:g}"}


class Evaluation(Section):
    """How a model is scored."""

    split: Literal["train", "valid", "test"] = "valid"
    """Split whose rows are scored."""
    rows: int = Field(default=200, ge=0)
    """Rows of the split, drawn once per run; 0 = all. The paper draws 1,000."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of that draw."""
    beam: int = Field(default=10, ge=1, le=100)
    """Beam width; 1 is greedy."""
    max_length: int = Field(default=64, ge=1, le=1024)
    """Most tokens of a comment, the end included. The paper allows 128."""
    length_penalty: float = Field(default=0.0, ge=0, le=10)
    """Power of its length by which a finished comment's score is divided before the best is chosen; the paper has 0, none."""
    batch_size: int = Field(default=0, ge=0, le=1024)
    """Rows decoded together; 0 = as many as the device has room for, 16 on the CPU; a run records the number and keeps it. On the
    CPU the comments do not depend on it; on a GPU a score may differ in its last bits, and now and then a comment."""
    precision: DecodingPrecision = "model"
    """Precision of decoding: the model's own (fp32 in training), or a bf16 copy; a run then measures once what that changes."""
    embedder: str = ""
    """Folder of a sentence-transformers model: scores the cosine of meanings as well; "" for none."""

    @property
    def search(self) -> Search:
        """How the comments to score are searched for."""
        return Search(self.beam, self.max_length, batch_size=self.batch_size, length_penalty=self.length_penalty)

    @property
    def signature(self) -> dict[str, str]:
        """What a score has to say of decoding beyond the recipe's beam; {} for the paper's."""
        signature = self.search.signature
        if self.precision == "model":
            return signature
        decoding = signature.get("decoding", f"beam:{self.beam}|max_length:{self.max_length}")
        return {"decoding": f"{decoding}|precision:{self.precision}"}


class Recipe(Section):
    """Everything one run was asked to do."""

    kind: Kind = "lottery"
    """lottery prunes in rounds, finetune trains a dense model on comments, pretrain trains on code
    and comments first."""
    model: Model = Model()
    architecture: Architecture = Architecture()
    data: Data = Data()
    pruning: Pruning = Pruning()
    rewind: Rewind = Rewind()
    picker: Picker = Picker()
    training: Training = Training()
    pretraining: Pretraining = Pretraining()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        for broken, problem in self._impossible():
            if broken:
                raise ValueError(problem)
        return self

    def _impossible_teaching(self) -> list[tuple[bool, str]]:
        training = self.training
        return [
            (
                bool(training.teacher) and self.kind == "pretrain",
                "training.teacher teaches comments, which a pre-training does not write; leave it empty",
            ),
            (
                training.teacher == DENSE and self.rounds == 0 and self.kind != "pretrain",
                'training.teacher = "dense" teaches rounds after round 0, and none is asked for; give a folder',
            ),
            (
                bool(training.teacher) and training.compile,
                "training.compile cannot compile a step with a teacher; set training.compile = false",
            ),
            (
                bool(training.teacher) and not training.teacher_weight and not training.teacher_states,
                "training.teacher_weight = 0 and teacher_states = 0 leave the teacher nothing to teach; raise one of them",
            ),
        ]

    def _impossible_units(self) -> list[tuple[bool, str]]:
        pruning, unit = self.pruning, self.pruning.masked
        return [
            (
                not unit and self.rounds > 1,
                'pruning.unit = "vocabulary" drops entries in round 1 alone; set pruning.rounds = 1, or unit = "head+vocabulary"',
            ),
            (
                not unit and bool(pruning.gradual_every),
                'pruning.gradual_every lets masks grow, and unit = "vocabulary" has none; set it to 0',
            ),
            (
                pruning.entries > 0 and not pruning.drops_entries and self.kind == "lottery",
                f'pruning.entries = {pruning.entries} is for the vocabulary; add it to pruning.unit, such as "head+vocabulary"',
            ),
            (
                unit == "layer" and pruning.scope != "global",
                'pruning.unit = "layer" lets layers compete with each other; set pruning.scope = "global"',
            ),
            (
                (unit, pruning.prunable) in (("neuron", "encoder-attention"), ("head", "encoder-ffn")),
                f'pruning.prunable = "{pruning.prunable}" names no {unit}s; set prunable = "encoder" or unit = "weight"',
            ),
            (
                pruning.budget == "latency" and (unit not in ("head", "neuron", "head+neuron") or pruning.scope != "global"),
                'pruning.budget = "latency" chooses among all heads and neurons; set unit = "head+neuron" and scope = "global"',
            ),
            (
                pruning.budget == "latency" and bool(pruning.gradual_every),
                'pruning.budget = "latency" chooses between rounds; set pruning.gradual_every = 0',
            ),
            (
                pruning.shrink and unit == "weight",
                'pruning.shrink = true removes whole units; set pruning.unit = "head", "neuron", "head+neuron" or "layer"',
            ),
        ]

    def _impossible(self) -> list[tuple[bool, str]]:
        step, order, every = self.rewind_step, self.pruning.order, self.picker.every
        return [
            *self._impossible_units(),
            *self._impossible_teaching(),
            *self._impossible_selection(),
            *self._impossible_growth(),
            *self._impossible_processes(),
            (
                step is not None and self.order == "prune-first",
                f'rewind.to = "{self.rewind.to}" needs a trained round 0; set pruning.order = "train-first"',
            ),
            (
                step is not None and step > self.training.steps,
                f'rewind.to = "{self.rewind.to}" lies behind the end of round 0; allowed: step:1 to step:{self.training.steps}',
            ),
            (
                order == "prune-first" and self.rewind.to == "pretrained",
                'pruning.order = "prune-first" needs a fine-tuned model; set rewind.to = "finetuned" or order = "train-first"',
            ),
            (
                self.pruning.schedule == "geometric" and self.pruning.final_sparsity == 1,
                "a geometric schedule never reaches pruning.final_sparsity = 1; allowed: below 1, such as 0.99",
            ),
            (
                self.picker.rule != "last" and every == 0,
                f'picker.rule = "{self.picker.rule}" needs measurements; set picker.every to a number of steps',
            ),
            (
                every > self.training.steps,
                f"picker.every = {every} is more than training.steps = {self.training.steps}: nothing would be measured",
            ),
            (
                self.model.path == NEW_MODEL and self.order == "prune-first" and self.kind == "lottery",
                'model.path = "new" is untrained, there is nothing to prune first; set rewind.to = "pretrained"',
            ),
            (
                self.model.path == NEW_MODEL
                and self.rewind.to == "finetuned"
                and order == "train-first"
                and self.kind == "lottery",
                'model.path = "new" is untrained, there is nothing fine-tuned to rewind to; set rewind.to = "pretrained"',
            ),
        ]

    def _impossible_processes(self) -> list[tuple[bool, str]]:
        training = self.training
        many, device = training.processes != 1, training.device
        return [
            (
                training.processes > training.batch_size,
                f"training.processes = {training.processes} is more than training.batch_size = {training.batch_size}: some would "
                "get no rows; lower processes or raise batch_size",
            ),
            (
                many and (device == "mps" or ":" in device),
                f'training.device = "{device}" is one device; set device = "cuda" for processes that take a GPU each',
            ),
            (
                training.processes == 0 and device == "cpu",
                'training.processes = 0 counts GPUs; set a number of processes for training.device = "cpu"',
            ),
            (
                many and training.compile,
                "training.compile compiles the step of a run with one process; set compile = false or processes = 1",
            ),
            (
                many and bool(training.teacher) and training.teacher_states > 0,
                "training.teacher_states are compared in whole batches, which several processes share; "
                "set teacher_states = 0 or processes = 1",
            ),
        ]

    def _impossible_growth(self) -> list[tuple[bool, str]]:
        pruning, steps = self.pruning, self.training.steps
        if not pruning.gradual_every:
            return []
        last = self.last_growth
        return [
            (last > steps, f"pruning.gradual_to = {last} lies behind the end of a round; allowed: 1 to training.steps = {steps}"),
            (
                pruning.gradual_from >= last,
                f"pruning.gradual_from = {pruning.gradual_from} leaves no step before {last}, where growing ends; set it below",
            ),
            (
                self.picker.rule != "last",
                f'picker.rule = "{self.picker.rule}" could pick weights from before the masks were grown; set it to "last"',
            ),
        ]

    def _impossible_selection(self) -> list[tuple[bool, str]]:
        pruning, pattern = self.pruning, pattern_of(self.pruning.pattern)
        groups = pattern is not None and pattern.kind == "n:m"
        share = 1 - pattern.down / pattern.across if pattern is not None else 0.0
        looks = pruning.criterion in LOOKING
        units = pruning.unit != "weight"
        alone = next(
            (
                f"{key} = {value!r}"
                for key, value, plain in (
                    ("scope", pruning.scope, pruning.scope != "row"),
                    ("budget", pruning.budget, pruning.budget in ("uniform", "latency")),
                    ("pattern", pruning.pattern, not pruning.pattern),
                )
                if not plain
            ),
            "",
        )
        watcher = f'criterion = "{pruning.criterion}"' if looks else f'budget = "{pruning.budget}"'
        return [
            (
                pruning.scope == "global" and pruning.budget not in ("uniform", "latency"),
                f'pruning.budget = "{pruning.budget}" is for a scope inside matrices; set pruning.scope = "layerwise" or "row", '
                'or budget = "uniform"',
            ),
            (units and bool(alone), f'pruning.{alone} is for single weights; set pruning.unit = "weight"'),
            (
                groups and not 0 < share < 1,
                f'pruning.pattern = "{pruning.pattern}" keeps nothing or everything; keep fewer than there are, such as 2:4',
            ),
            (
                groups and 0 < share < 1 and abs(share - pruning.final_sparsity) > 1e-9 and self.kind == "lottery",
                f'pruning.pattern = "{pruning.pattern}" ends at a sparsity of {share:.6g}; set pruning.final_sparsity to that',
            ),
            (
                groups and pruning.budget != "uniform",
                f'pruning.pattern = "{pruning.pattern}" gives every matrix the same sparsity; set pruning.budget = "uniform"',
            ),
            (
                (looks or pruning.budget == "owl") and self.evaluation.split == "train" and self.kind == "lottery",
                f'pruning.{watcher} looks at training rows, which evaluation.split = "train" scores; '
                'set evaluation.split = "valid"',
            ),
        ]

    @property
    def order(self) -> Literal["train-first", "prune-first"]:
        """The order of training and pruning with "auto" resolved."""
        if self.pruning.order != "auto":
            return self.pruning.order
        return "prune-first" if self.rewind.to == "finetuned" else "train-first"

    @property
    def last_growth(self) -> int:
        """The step after which the masks of a round no longer grow, where they do."""
        return self.pruning.gradual_to or max(1, 3 * self.training.steps // 4)

    @property
    def rewind_step(self) -> int | None:
        """K of a rewind to `step:K`, else None."""
        return int(self.rewind.to.removeprefix("step:")) if self.rewind.to.startswith("step:") else None

    @property
    def rounds(self) -> int:
        """Rounds after the dense one; only a lottery run has any."""
        return self.pruning.rounds if self.kind == "lottery" else 0


def load_recipe(path: Path) -> Recipe:
    """Reads and validates a recipe file.

    Args:
        path: A TOML file.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: The file cannot be read, is no TOML, or asks for what cannot be; the text names file, key and fix.
    """
    try:
        text = read_text(path, TOML_BYTES)
    except OSError as error:
        raise RecipeError(
            f"Cannot read the recipe {path}: {reason(error)}.", f"Write one with: {program()} recipe --template > recipe.toml"
        ) from error
    return parse_recipe(text, name=str(path))


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    """Validates a recipe given as TOML text.

    Args:
        text: TOML.
        name: What errors call the text, usually its path.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: As for `load_recipe`.
    """
    try:
        given = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"{name} is not valid TOML: {error}.", f"Compare with: {program()} recipe --template") from error
    return build_recipe(given, name, strict=True)


def build_recipe(given: Mapping[str, object], name: str = "recipe", *, strict: bool = False) -> Recipe:
    """Validates a recipe given as nested dictionaries, as a form or a TOML reader makes them.

    Args:
        given: Section name -> key -> value.
        name: What errors call the recipe.
        strict: Take numbers only as numbers; otherwise "500" and "true" count as 500 and true, as from a form.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: One line a problem, each with key, what is allowed and the nearest valid name.
    """
    try:
        return Recipe.model_validate(dict(given), strict=strict)
    except ValidationError as error:
        problems = list(dict.fromkeys(problem for _, problem in recipe_problems(error)))
        raise RecipeError("\n".join(f"{name}: {problem}" for problem in problems)) from error


def recipe_problems(error: ValidationError) -> list[tuple[str, str]]:
    """Puts pydantic's findings into sentences with the key, what is allowed and the nearest valid name.

    Returns:
        (dotted key, sentence) pairs; the key is "" for a combination of keys.
    """
    return [(_dotted(details), _sentence(details)) for details in error.errors(include_url=False)]


def _dotted(details: ErrorDetails) -> str:
    return ".".join(str(part) for part in details["loc"])


def _sentence(details: ErrorDetails) -> str:
    key = _dotted(details)
    match details["type"]:
        case "extra_forbidden":
            return f'unknown key "{key}"; {_nearest(key)}'
        case "literal_error":
            allowed = allowed_values(key)
            near = difflib.get_close_matches(str(details["input"]), allowed, n=1, cutoff=0.5)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            return f"{key} = {_quoted(details['input'])} is not allowed; allowed: {', '.join(allowed)}{hint}"
        case "string_pattern_mismatch" if key in PATTERNS:
            return f"{key} = {_quoted(details['input'])} is not allowed; allowed: {', '.join(PATTERNS[key])}"
        case "model_type":
            return f"{key} = {_quoted(details['input'])} is not allowed; {key} is a table: write its keys below a line [{key}]"
        case "value_error":
            message = details["msg"].removeprefix("Value error, ")
            return f"{key}: {message}" if key else message
        case _:
            given = details["input"]
            return f"{key} = {_quoted(given)} is not allowed; {key.rpartition('.')[2]} {_must_be(key)}{_meant(key, given)}"


def _quoted(value: object) -> str:
    """A value as it is quoted in an error; of a long one the beginning, for no number needs 40 digits to be recognised."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out a number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}... ({len(text):,} characters)"


def _must_be(key: str) -> str:
    """What a key may be set to, in words: "must be a whole number of at least 1"."""
    field = _field(key)
    bounds = [
        f"{word} {getattr(limit, name):,}"
        for name, word in (("gt", "more than"), ("ge", "at least"), ("lt", "less than"), ("le", "at most"))
        for limit in field.metadata
        if getattr(limit, name, None) is not None
    ]
    kind = KINDS.get(field.annotation, "a value of its kind")  # type: ignore[arg-type]  # an annotation that is no key is none
    if field.annotation is str and any(getattr(limit, "min_length", None) for limit in field.metadata):
        kind = "a text that is not empty"
    return f"must be {kind}" + (f" of {' and '.join(bounds)}" if bounds else "")


def _meant(key: str, given: object) -> str:
    """What a number that does not fit may have been meant as: a percentage for a share, a text for the number in it."""
    owner, name = _owner(key)
    field = owner.model_fields[name]
    if field.annotation is bool or isinstance(given, bool):
        return ""
    try:
        number = float(given) if isinstance(given, (int, float, str)) else nan
    except (ValueError, OverflowError):
        return ""
    guesses: list[float] = [number] if isinstance(given, str) else []
    if field.annotation is int and number.is_integer():
        guesses = [int(number)]
    if (
        field.annotation is float
        and 1 < number <= 100
        and any(getattr(limit, "le", getattr(limit, "lt", 0)) == 1 for limit in field.metadata)
    ):
        guesses.append(number / 100)
    for guess in guesses:
        with suppress(ValidationError):
            owner.model_validate({name: guess}, strict=True)
            return f"; did you mean {guess:g}?" if isinstance(guess, float) else f"; did you mean {guess}?"
    return ""


def allowed_values(key: str) -> list[str]:
    """The words that a key such as `pruning.scope` may be set to; empty where any value of its type will do."""
    return [str(value) for value in _literal_values(_field(key).annotation)]


def _field(key: str) -> FieldInfo:
    owner, name = _owner(key)
    return owner.model_fields[name]


def _owner(key: str) -> tuple[type[BaseModel], str]:
    """The table that a dotted key belongs to, and its name in there."""
    owner: type[BaseModel] = Recipe
    *sections, name = key.split(".")
    for section in sections:
        owner = _section_type(owner, section)
    return owner, name


def _literal_values(annotation: object) -> list[object]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return [value for part in get_args(annotation) for value in _literal_values(part)]
    return []


def _section_type(owner: type[BaseModel], name: str) -> type[BaseModel]:
    section = owner.model_fields[name].annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    return section


def _nearest(key: str) -> str:
    known = field_help()
    sections = list(dict.fromkeys(name.partition(".")[0] for name in known))
    section, _, name = key.rpartition(".")
    inside = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == section}
    siblings = inside if section and inside else {k: k for k in sections}
    # A key put into the wrong table is as common as a misspelt one: look for its own name everywhere first.
    elsewhere = [k for k in known if k.rpartition(".")[2] == name]
    if elsewhere:
        return f'did you mean "{elsewhere[0]}"?'
    near = difflib.get_close_matches(name, siblings, n=1, cutoff=0.5)
    return f'did you mean "{siblings[near[0]]}"?' if near else f"allowed here: {', '.join(siblings)}"


def field_help() -> dict[str, str]:
    """Every key of a recipe with its one-line explanation, dotted, in the order of the template."""
    texts: dict[str, str] = {}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for key, inner in field.annotation.model_fields.items():
                texts[f"{name}.{key}"] = " ".join((inner.description or "").split())
        else:
            texts[name] = " ".join((field.description or "").split())
    return texts


def to_toml(recipe: Recipe, *, commented: bool = False) -> str:
    """Writes a recipe as TOML, every key with its value.

    Args:
        recipe: What to write.
        commented: Put each key's explanation and allowed values above it; a key that has its value from the training preset is
            itself a comment, so that another preset can be chosen in one line.

    Returns:
        TOML text that `parse_recipe` reads back as an equal recipe.
    """
    texts = field_help()
    document = tomlkit.document()
    preset = TRAINING_PRESETS[recipe.training.preset]

    def explain(container: tomlkit.TOMLDocument | tomlkit.items.Table, key: str) -> None:
        if commented:
            allowed = allowed_values(key)
            for line in _wrap(texts[key] + (f" One of: {', '.join(allowed)}." if allowed else "")):
                container.add(tomlkit.comment(line))

    for name, value in recipe.model_dump().items():
        if isinstance(value, dict):
            table = tomlkit.table()
            for key, inner in value.items():
                explain(table, f"{name}.{key}")
                if commented and name == "training" and key in preset and preset[key] == inner:
                    table.add(tomlkit.comment(f"{key} = {tomlkit.item(inner).as_string()}    (the preset's)"))
                else:
                    table.add(key, inner)
            document.add(name, table)
        else:
            explain(document, name)
            document.add(name, value)
    return tomlkit.dumps(document)


def _wrap(text: str, width: int = 116) -> list[str]:
    return [line.strip() for line in re.findall(rf".{{1,{width}}}(?:\s+|$)", text)]


def with_todays_defaults(recipe: Recipe) -> Recipe:
    """The recipe with the defaults of today in the place of those of older versions, which run folders hold in full.

    On the CPU both mean the same: there, "auto" is fp32, and 16 rows are decoded together.
    """
    tables: dict[str, BaseModel] = {}
    for name, older in OLDER_DEFAULTS.items():
        table: BaseModel = getattr(recipe, name)
        todays = type(table).model_fields
        tables[name] = table.model_copy(
            update={key: todays[key].default for key, value in older.items() if getattr(table, key) == value}
        )
    return recipe.model_copy(update=tables)


def recipe_hash(recipe: Recipe) -> str:
    """A short digest of everything the recipe asks for: equal recipes, equal digests.

    Keys that have their default do not count: a key that a later version adds must not make runs of this one look changed. Nor
    does the number of processes, because a run may go on with another, as on another device.
    """
    alone = recipe.training.model_copy(update={"processes": 1})
    counted = recipe.model_copy(update={"training": alone})
    return hashlib.sha256(counted.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]
