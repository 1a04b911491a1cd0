"""Writes docs/quantization.md from the JSON file of `codeprune-tui quantize --explain -o FILE`.

The numbers, and which of them are clear, come from the file alone; the sentences around them say how to read them.

    python tools/quantization_doc.py docs/quantization.json docs/quantization.md
"""

import sys
from pathlib import Path

from codeprune_tui.reports import quantization as report
from core.atomic import complete_or_absent
from core.study.ladderfile import Explanation, Ladder, read_ladder

FEW_ROWS = 500
"""Below it the page says that its scores decide nothing."""

HEAD = """# Quantization

Written by `tools/quantization_doc.py` from `{file}`. Every difference stands with the middle 95 % of the paired
bootstrap over the rows. Times were taken while other programs shared the processor: compare them within this page only.

{recipe}
"""

METHODS = """## The methods

{list}

What multiplies is quantized; word embeddings, norms and biases stay in floating point. The output layer shares its matrix
with the word embeddings, so an INT8 model holds that matrix twice, once as integers and once in fp32 for looking words up: a
model with a large vocabulary shrinks by less than the quantized share suggests. `int8-w8a8` and `int8-weight` reach the
decoder's attention, whose packed matrices are taken apart first, as `int4-weight` does; `dynamic-int8` leaves it alone, as
torch leaves `nn.MultiheadAttention`, and as in the paper. `int4-weight` computes in bfloat16: what it loses is to be held
against `bf16`. Its kernel takes rows in multiples of 16 and columns in multiples of 32; other layers stay in bfloat16.

`dynamic-int8` takes one range for all activations that are computed together, so its comments depend on the batch size and
on which rows share a batch. Those of the other methods depend on them only through the last bits of floating-point sums,
which the rounding of activations in `int8-w8a8` can make visible; weight-only INT8 gives the same comment in any batch.
"""

SAVING = """## Saving

`codeprune-tui quantize MODEL --method int8-weight --save DIR` writes a folder that `comment`, `evaluate` and the playground
load as any other. Nothing is quantized again on loading: the integers and their scales are stored in safetensors, and a
loaded model computes the same numbers as the saved one. A quantized model cannot be trained or pruned; `llm-int8` cannot be
saved, quantize it anew.
"""


def page(ladder: Ladder, file: str) -> str:
    """The whole page."""
    parts = [HEAD.format(file=file, recipe=report.recipe_line(ladder))]
    parts.append(METHODS.format(list="\n".join(f"- `{line.method}`: {line.does}" for line in ladder.methods)))
    parts.append("## Scores\n")
    if min(ladder.rows.values()) < FEW_ROWS:
        parts.append("**These are too few rows to compare scores**: run the command of the recipe without `--rows`.\n")
    parts += [report.markdown_table(report.score_rows(ladder, split)) + "\n" for split in ladder.rows]
    parts.append("\n".join(f"- {name}: `{signature}`" for name, signature in ladder.signatures.items()) + "\n")
    missing = [report.missing(line) for line in ladder.methods if line.unavailable]
    parts.append("\n".join(["Not measured:\n", *missing]) + "\n" if missing else "")
    parts += ["## Sizes\n", report.markdown_table(report.size_rows(ladder)) + "\n"]
    parts += ["## Times, ms\n", report.markdown_table(report.time_rows(ladder)) + "\n"]
    parts.append(
        "All times are those of a whole batch. A comment is a beam search of natural length, and so is an equal one, but for the "
        "end, which no model may write before all have written as many tokens; a token is one greedy step.\n"
    )
    parts += ["## Error of each layer's output\n", report.markdown_table(report.error_rows(ladder)) + "\n"]
    if ladder.explanation is not None:
        parts.append(why(ladder, ladder.explanation))
    return "\n".join([*parts, SAVING])


def why(ladder: Ladder, explanation: Explanation) -> str:
    """The explanation: which part of the error comes from what."""
    errors = {ablation.name: ablation.layer_errors for ablation in explanation.ablations}
    last = [name for name in errors["as dynamic-int8"] if name.startswith("encoder")][-1]
    at = {name: 100 * values[last] for name, values in errors.items()}
    ratios = sorted(spread.feature_ratio for spread in explanation.spreads if spread.feature_ratio < 1e6)
    real = next((m.layer_errors.get(last) for m in ladder.methods if m.method == "dynamic-int8" and m.layer_errors), None)
    parts = [
        f"After the encoder's last layer dynamic INT8 is off by {at['as dynamic-int8']:.2f} %",
        f" (torch's own kernels: {100 * real:.2f} %)" if real else "",
        f". Rounding only the activations leaves {at['only activations']:.2f} %, rounding only the weights ",
        f"{at['only weights, per tensor']:.2f} %. With 8 instead of 7 bits for activations it is ",
        f"{at['activations 8 bits']:.2f} %, with a range for each token {at['activations per token']:.2f} %, with both ",
        f"{at['activations 8 bits per token']:.2f} %; a scale for each row of the weights alone gives ",
        f"{at['weights per row']:.2f} %, all three {at['all three']:.2f} %. The largest feature of a layer's input is ",
        f"{ratios[len(ratios) // 2]:.1f} times the median one in the median layer, and {ratios[-1]:.1f} times in the worst; ",
        "outlier features as LLM.int8 was made for reach twenty times.",
    ]
    scored = next(iter(explanation.ablations[0].splits))
    rows = min(ladder.rows[scored], int(str(ladder.recipe.get("explain_rows", 0))))
    return "\n".join(
        [
            "## Why dynamic INT8 loses what it loses\n",
            "".join(parts) + "\n",
            "Each choice of rounding was changed alone, in floating point with the same integers, and scored on "
            f"{rows} rows of {scored}:\n",
            report.markdown_table(report.ablation_rows(explanation)) + "\n",
            "What each linear layer is given, and the relative error of rounding it:\n",
            report.markdown_table(report.spread_rows(explanation)) + "\n",
        ]
    )


def main() -> None:
    """Reads the one file and writes the other."""
    source, target = map(Path, sys.argv[1:3])
    with complete_or_absent(target) as draft:
        draft.write_text(page(read_ladder(source), source.name), encoding="utf-8")


if __name__ == "__main__":
    main()
