"""One evaluator for every system: BLEU, METEOR, ROUGE-L, CIDEr-D, chrF, quoted words, faithfulness."""

from train_scripts.metrics.comparison import Comparison, Difference, compare
from train_scripts.metrics.evaluator import MEASURES, Estimate, Measure, Report, evaluate

__all__ = [
    "MEASURES",
    "Comparison",
    "Difference",
    "Estimate",
    "Measure",
    "Report",
    "compare",
    "evaluate",
]
