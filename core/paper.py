"""What the paper published, and numbers around it, to stand beside ours. Facts only.

Source: Gu, Sonecha, Vedantam, Runwal, Misra, "Pruning CodeBERT for Improved Code-to-Text Efficiency"; CodeXGLUE's leaderboard for
the systems; d'Aloisio et al., arXiv 2412.13737, for one-shot pruning of CodeBERT on Java.
"""

QUANTIZATION = {
    "valid": {"dynamic-int8": 9.38, "fp32": 13.23, "fp16": 13.26},
    "test": {"dynamic-int8": 8.83, "fp32": 12.25, "fp16": 12.24},
}
"""Figure 2: split -> method -> smoothed BLEU-4 of CodeBERT on CodeXGLUE Ruby."""
SYSTEMS = {"Seq2Seq": 9.64, "Transformer from scratch": 11.18, "RoBERTa": 11.17, "CodeBERT": 12.16}
"""Smoothed BLEU-4 on CodeXGLUE's Ruby test split."""
FLOORS = {
    "valid": {"constant": (8.75, 0.41, 10.5), "name": (13.16, 0.84, 16.7)},
    "test": {"constant": (7.88, 0.37, 10.5), "name": (12.60, 0.82, 16.0)},
}
"""CodeXGLUE Ruby's split -> floor -> smoothed BLEU-4, corpus BLEU, chrF: what programs score that read no code."""
ONE_SHOT = {20: -4.3, 40: -66.6, 60: -93.4}
"""Sparsity in percent -> change of BLEU in percent: global L1 in one shot, without training afterwards, CodeBERT on Java."""
SAYS = (
    "L1 beats random pruning.",
    "Batch size 8 beats 16.",
    "Rewinding to the fine-tuned model is better at low sparsity, rewinding to the pre-trained one above 80 %.",
    "Pruning from an over-fitted model is harmful; the best picker is best, no stop.",
    "The original score is recovered only at 20 % sparsity, nearly at 50 %.",
    "fp16 loses nothing, dynamic INT8 loses about four points.",
)
"""Its findings in a sentence each."""
