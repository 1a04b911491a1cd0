"""Recipes: defaults, TOML there and back, every refusal with its text; and what follows from them: schedules and names."""

import contextlib
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from core.errors import RecipeError
from core.recipe import (
    TRAINING_PRESETS,
    Recipe,
    Training,
    allowed_values,
    build_recipe,
    field_help,
    load_recipe,
    parse_recipe,
    recipe_hash,
    recipe_problems,
    to_toml,
)
from core.spec.layout import Place, locate
from core.spec.roberta import MATRICES
from core.spec.schedule import sparsities

NO_SHARE = "is not allowed; final_sparsity must be a number of more than 0 and at most 1"


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "mine.toml")
    return str(caught.value)


# --- there and back --------------------------------------------------------------------------------------------------------


def test_an_empty_recipe_is_the_default() -> None:
    assert parse_recipe("") == Recipe() == build_recipe({})


@pytest.mark.parametrize("commented", [False, True])
def test_toml_is_read_back_as_it_was(commented: bool) -> None:
    odd = {
        "model": {"path": 'a "b"\\c\td\x01é\n☃'},
        "training": {"preset": "paper", "learning_rate": 1},
        "pruning": {"final_sparsity": 1},
    }
    for recipe in (Recipe(), build_recipe(odd)):
        assert parse_recipe(to_toml(recipe, commented=commented)) == recipe


@settings(max_examples=50, deadline=None)
@given(
    st.text(min_size=1),
    st.floats(1e-300, 1, exclude_min=True),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["sane", "paper"]),
)
def test_any_value_survives_toml(path: str, share: float, seed: int, preset: str) -> None:
    training = {"seed": seed, "learning_rate": share, "preset": preset}
    recipe = build_recipe({"model": {"path": path}, "pruning": {"final_sparsity": share}, "training": training})
    assert parse_recipe(to_toml(recipe)) == recipe


def test_the_template_explains_every_key() -> None:
    text = to_toml(Recipe(), commented=True)
    lines = text.splitlines()
    for key, explanation in field_help().items():
        assert explanation, f"{key} is not documented"
        assert explanation[:40] in text
        name = key.rpartition(".")[2]
        assert any(re.match(rf"(# )?{name} = ", line) and lines[at - 1].startswith("# ") for at, line in enumerate(lines)), key
    assert "# " in text.split("scope = ")[0].splitlines()[-1]
    assert "One of: layerwise, global, row." in text.replace("\n# ", " ")
    assert max(map(len, lines)) <= 130


def test_every_key_of_every_section_has_help() -> None:
    keys = set()
    for name, field in Recipe.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys |= {f"{name}.{key}" for key in inner.model_fields}
        else:
            keys.add(name)
    assert set(field_help()) == keys


def test_a_key_that_a_later_version_adds_leaves_digests_alone() -> None:
    class LaterTraining(Training):
        new_key: int = 0

    class Later(Recipe):
        training: LaterTraining = LaterTraining()

    tables = {"training": {"preset": "paper", "steps": 7}, "pruning": {"rounds": 2}}
    assert recipe_hash(Later.model_validate(tables)) == recipe_hash(Recipe.model_validate(tables))
    assert recipe_hash(Later()) == recipe_hash(Recipe())
    tables["training"]["new_key"] = 1
    assert recipe_hash(Later.model_validate(tables)) != recipe_hash(Later())


def test_equal_recipes_have_equal_digests() -> None:
    assert recipe_hash(Recipe()) == recipe_hash(parse_recipe(to_toml(Recipe(), commented=True)))
    assert recipe_hash(Recipe()) != recipe_hash(build_recipe({"training": {"seed": 1}}))
    assert re.fullmatch("[0-9a-f]{16}", recipe_hash(Recipe()))
    # The same in every process: no hash of this process's own seed.
    program = "from core.recipe import Recipe, recipe_hash; print(recipe_hash(Recipe()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == recipe_hash(Recipe())


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().training.steps = 3  # type: ignore[misc]


# --- presets ---------------------------------------------------------------------------------------------------------------


def test_presets_fill_what_is_not_given() -> None:
    paper = parse_recipe('[training]\npreset = "paper"').training
    assert (paper.batch_size, paper.learning_rate, paper.weight_decay, paper.clip_norm, paper.warmup) == (
        8,
        5e-5,
        0.0,
        0.0,
        "all-rounds",
    )
    mixed = parse_recipe('[training]\npreset = "paper"\nbatch_size = 16').training
    assert (mixed.batch_size, mixed.warmup) == (16, "all-rounds")


def test_the_sane_preset_is_what_the_fields_default_to() -> None:
    fields = {name: field.default for name, field in Training.model_fields.items()}
    assert TRAINING_PRESETS["sane"] == {name: fields[name] for name in TRAINING_PRESETS["sane"]}
    assert set(TRAINING_PRESETS["paper"]) == set(TRAINING_PRESETS["sane"])


# --- refusals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # Unknown keys, and the nearest known one.
        ("[pruning]\nscop = 'global'", 'unknown key "pruning.scop"; did you mean "pruning.scope"?'),
        ("[training]\nrounds = 3", 'unknown key "training.rounds"; did you mean "pruning.rounds"?'),
        ("[trainin]\nsteps = 3", 'unknown key "trainin"; did you mean "training"?'),
        (
            "[rewind]\nqqq = 3",
            'unknown key "rewind.qqq"; allowed here: to',
        ),
        (
            "zzz = 3",
            'unknown key "zzz"; allowed here: kind, model, architecture, data, pruning, rewind, picker, '
            "training, pretraining, evaluation",
        ),
        # Words.
        ("kind = 'lotery'", "kind = 'lotery' is not allowed; allowed: lottery, finetune, pretrain; did you mean \"lottery\"?"),
        ("[pruning]\nscope = 3", "pruning.scope = 3 is not allowed; allowed: layerwise, global, row"),
        (
            "[training]\npreset = ['paper']",
            "training.preset = ['paper'] is not allowed; allowed: sane, paper; did you mean \"paper\"?",
        ),
        (
            "[rewind]\nto = 'step:0'",
            "rewind.to = 'step:0' is not allowed; allowed: pretrained, finetuned, none, random, step:K (such as step:100)",
        ),
        # Types and ranges.
        (
            "[training]\nsteps = '5'",
            "training.steps = '5' is not allowed; steps must be a whole number of at least 1; did you mean 5?",
        ),
        ("[training]\nsteps = true", "training.steps = True is not allowed; steps must be a whole number of at least 1"),
        (
            "[training]\nsteps = 5.0",
            "training.steps = 5.0 is not allowed; steps must be a whole number of at least 1; did you mean 5?",
        ),
        ("[training]\nsteps = 0", "training.steps = 0 is not allowed; steps must be a whole number of at least 1"),
        (
            "[training]\nlearning_rate = nan",
            "training.learning_rate = nan is not allowed; learning_rate must be a number of more than 0 and at most 1",
        ),
        (
            "[training]\nlearning_rate = '1e-4'",
            "training.learning_rate = '1e-4' " + NO_SHARE.replace("final_sparsity", "learning_rate") + "; did you mean 0.0001?",
        ),
        ("[model]\npath = 5", "model.path = 5 is not allowed; path must be a text that is not empty"),
        ("[model]\npath = ''", "model.path = '' is not allowed; path must be a text that is not empty"),
        (
            "[pruning]\nfinal_sparsity = 0.0",
            f"pruning.final_sparsity = 0.0 {NO_SHARE}",
        ),
        (
            "[pruning]\nfinal_sparsity = -1.5",
            f"pruning.final_sparsity = -1.5 {NO_SHARE}",
        ),
        (
            "[pruning]\nfinal_sparsity = 95",
            f"pruning.final_sparsity = 95 {NO_SHARE}; did you mean 0.95?",
        ),
        (
            "[pruning]\nfinal_sparsity = 2.5",
            f"pruning.final_sparsity = 2.5 {NO_SHARE}; did you mean 0.025?",
        ),
        (
            "[training]\ndropout = 10",
            "training.dropout = 10 is not allowed; dropout must be a number of at least -1 and less than 1; did you mean 0.1?",
        ),
        ("training = 5", "training = 5 is not allowed; training is a table: write its keys below a line [training]"),
        # Combinations.
        ("[architecture]\nhidden = 10", "architecture: hidden = 10 is not a multiple of heads = 4"),
        (
            "[rewind]\nto = 'step:9'\n[pruning]\norder = 'prune-first'",
            'rewind.to = "step:9" needs a trained round 0; set pruning.order = "train-first"',
        ),
        (
            "[rewind]\nto = 'step:501'",
            'rewind.to = "step:501" lies behind the end of round 0; allowed: step:1 to step:500',
        ),
        (
            "[pruning]\norder = 'prune-first'",
            'pruning.order = "prune-first" needs a fine-tuned model; set rewind.to = "finetuned" or order = "train-first"',
        ),
        ("[picker]\nrule = 'best'", 'picker.rule = "best" needs measurements; set picker.every to a number of steps'),
        ("[picker]\nevery = 501", "picker.every = 501 is more than training.steps = 500: nothing would be measured"),
        (
            "[model]\npath = 'new'\n[rewind]\nto = 'finetuned'",
            'model.path = "new" is untrained, there is nothing to prune first; set rewind.to = "pretrained"',
        ),
        (
            "[model]\npath = 'new'\n[rewind]\nto = 'finetuned'\n[pruning]\norder = 'train-first'",
            'model.path = "new" is untrained, there is nothing fine-tuned to rewind to; set rewind.to = "pretrained"',
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(text: str, problem: str) -> None:
    assert refusal(text) == f"mine.toml: {problem}"


def test_all_problems_are_told_at_once() -> None:
    assert refusal("[pruning]\nscope = 'x'\nrounds = -1\n[rewind]\nfoo = 1").splitlines() == [
        "mine.toml: pruning.scope = 'x' is not allowed; allowed: layerwise, global, row",
        "mine.toml: pruning.rounds = -1 is not allowed; rounds must be a whole number of at least 0 and at most 200",
        'mine.toml: unknown key "rewind.foo"; allowed here: to',
    ]


def test_a_form_may_give_numbers_as_text() -> None:
    texts = {"training": {"steps": "5", "learning_rate": "1e-3"}, "architecture": {"split_identifiers": "false"}}
    recipe = build_recipe(texts)
    assert (recipe.training.steps, recipe.training.learning_rate, recipe.architecture.split_identifiers) == (5, 1e-3, False)
    with pytest.raises(RecipeError, match=r"(?m)^recipe: training\.steps = '5' is not allowed; steps must be a whole number"):
        build_recipe(texts, strict=True)


@pytest.mark.parametrize("text", ["[training", "a = ", "a = " + "[" * 100_000, "x = 1\nx = 2"])
def test_what_is_no_toml_is_refused(text: str) -> None:
    assert re.match(r"mine\.toml is not valid TOML: (?s:.*)\. Compare with: codeprune-tui recipe --template$", refusal(text))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    fix = r"Write one with: codeprune-tui recipe --template > recipe\.toml$"
    with pytest.raises(RecipeError, match=rf"^Cannot read the recipe .*nowhere\.toml: No such file or directory\. {fix}"):
        load_recipe(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=rf"binary\.toml: it is not UTF-8 text\. {fix}"):
        load_recipe(tmp_path / "binary.toml")
    (tmp_path / "mine.toml").write_text("kind = 'x'")
    with pytest.raises(RecipeError, match=r"^.*/mine\.toml: kind = 'x' is not allowed"):
        load_recipe(tmp_path / "mine.toml")


def test_problems_carry_the_key_for_a_form() -> None:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"training": {"steps": 0}, "pruning": {"scope": "x"}})
    assert [key for key, _ in recipe_problems(caught.value)] == ["pruning.scope", "training.steps"]
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"picker": {"rule": "best"}})
    assert recipe_problems(caught.value) == [
        ("", 'picker.rule = "best" needs measurements; set picker.every to a number of steps')
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Recipe.model_fields, "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["path", "preset", "to", "rule", "every", "steps", "scope", "x"]), inner, max_size=4
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_nothing_but_recipe_errors_comes_out(given_: dict[str, object]) -> None:
    for strict in (True, False):
        with contextlib.suppress(RecipeError):
            build_recipe(given_, strict=strict)


def test_allowed_values_are_those_of_the_field() -> None:
    assert allowed_values("pruning.schedule") == ["linear", "geometric", "one-shot"]
    assert allowed_values("kind") == ["lottery", "finetune", "pretrain"]
    assert allowed_values("training.steps") == []


# --- what follows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "order", "resolved"),
    [
        ("pretrained", "auto", "train-first"),
        ("finetuned", "auto", "prune-first"),
        ("none", "auto", "train-first"),
        ("step:5", "auto", "train-first"),
        ("finetuned", "train-first", "train-first"),
        ("none", "prune-first", "prune-first"),
    ],
)
def test_the_order_follows_from_the_rewind(to: str, order: str, resolved: str) -> None:
    recipe = build_recipe({"rewind": {"to": to}, "pruning": {"order": order}})
    assert recipe.order == resolved
    assert recipe.rewind_step == (5 if to == "step:5" else None)


def test_only_a_lottery_has_rounds() -> None:
    assert [build_recipe({"kind": kind}).rounds for kind in ("lottery", "finetune", "pretrain")] == [9, 0, 0]
    assert sparsities(build_recipe({"kind": "finetune"})) == (0.0,)


def shares(schedule: str, rounds: int, final: float) -> tuple[float, ...]:
    return sparsities(build_recipe({"pruning": {"schedule": schedule, "rounds": rounds, "final_sparsity": final}}))


def test_linear_takes_the_same_share_of_the_original_each_round() -> None:
    assert shares("linear", 9, 0.9) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    # The paper's rule: 1/(10 − r) of what remains.
    kept = [1.0]
    for number in range(9):
        kept.append(kept[-1] * (1 - 1 / (10 - number)))
    assert shares("linear", 9, 0.9) == pytest.approx([1 - share for share in kept])


def test_geometric_takes_the_same_share_of_what_remains() -> None:
    kept = [1 - share for share in shares("geometric", 4, 0.9375)]
    assert kept == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625])


def test_a_geometric_schedule_that_would_prune_all_at_once_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"geometric schedule never reaches pruning\.final_sparsity = 1; allowed: below 1"):
        build_recipe({"pruning": {"schedule": "geometric", "final_sparsity": 1.0}})


def test_one_shot_takes_all_in_the_first_round() -> None:
    assert shares("one-shot", 3, 0.8) == (0.0, 0.8, 0.8, 0.8)


@given(st.sampled_from(["linear", "geometric", "one-shot"]), st.integers(0, 200), st.floats(0.001, 1))
def test_sparsity_never_falls_and_ends_where_it_should(schedule: str, rounds: int, final: float) -> None:
    assume(schedule != "geometric" or final < 1)  # refused, see above
    sparsities = shares(schedule, rounds, final)
    assert len(sparsities) == rounds + 1
    assert sparsities[0] == 0.0
    assert all(0 <= early <= late <= 1 for early, late in itertools.pairwise(sparsities))
    if rounds:
        assert sparsities[-1] == pytest.approx(final, abs=1e-12)


@pytest.mark.parametrize(
    ("parameter", "place"),
    [
        ("encoder.encoder.layer.11.attention.self.query.weight", Place("encoder", 11, "query")),
        ("encoder.encoder.layer.0.attention.self.key.weight", Place("encoder", 0, "key")),
        ("encoder.encoder.layer.0.attention.self.value.weight", Place("encoder", 0, "value")),
        ("encoder.encoder.layer.0.attention.output.dense.weight", Place("encoder", 0, "output")),
        ("encoder.encoder.layer.0.intermediate.dense.weight", Place("encoder", 0, "ffn-in")),
        ("encoder.encoder.layer.0.output.dense.weight", Place("encoder", 0, "ffn-out")),
        ("encoder.pooler.dense.weight", Place("pooler", 0, "pooler")),
        ("decoder.layers.5.self_attn.out_proj.weight", Place("decoder", 5, "self-out")),
        ("decoder.layers.5.multihead_attn.out_proj.weight", Place("decoder", 5, "cross-out")),
        ("decoder.layers.5.linear1.weight", Place("decoder", 5, "ffn-in")),
        ("decoder.layers.5.linear2.weight", Place("decoder", 5, "ffn-out")),
        ("encoder.encoder.layer.0.attention.self.query.bias", None),
        ("encoder.encoder.layer.x.attention.self.query.weight", None),
        ("encoder.embeddings.word_embeddings.weight", None),
        ("decoder.layers.0.self_attn.in_proj_weight", None),
        ("decoder.layers.0.norm1.weight", None),
        ("lm_head.weight", None),
        ("encoder.encoder.layer.0.attention.self.query.weight\n", None),
        ("", None),
    ],
)
def test_parameters_are_located_by_name(parameter: str, place: Place | None) -> None:
    assert locate(parameter) == place
    assert len(MATRICES) == 10


def test_the_template_is_toml_without_us() -> None:
    whole = Recipe().model_dump()
    for key in TRAINING_PRESETS["sane"]:
        del whole["training"][key]
    assert tomllib.loads(to_toml(Recipe(), commented=True)) == whole


def test_another_preset_in_the_template_is_one_line() -> None:
    text = to_toml(Recipe(), commented=True).replace('preset = "sane"', 'preset = "paper"')
    assert parse_recipe(text).training == Training.model_validate({"preset": "paper"})
    assert "# learning_rate = 0.0002    (the preset's)" in to_toml(Recipe(), commented=True).splitlines()
    own = build_recipe({"training": {"learning_rate": 1e-3}})
    assert "learning_rate = 0.001" in to_toml(own, commented=True).splitlines()


def test_a_number_of_thousands_of_digits_is_told_in_plain_words() -> None:
    assert refusal(f"[training]\nsteps = {'9' * 5000}").startswith(
        "mine.toml is not valid TOML: a number in it has thousands of digits."
    )
    assert refusal(f"[training]\nsteps = -{'9' * 3000}").endswith("steps must be a whole number of at least 1")
