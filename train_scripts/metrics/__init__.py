"""One evaluator for every captioning system: BLEU, METEOR, ROUGE-L, CIDEr-D, chrF, quoted words,
faithfulness.
"""

from train_scripts.metrics.evaluator import (
    MEASURES,
    Estimate,
    EvaluationError,
    Measure,
    Report,
    evaluate,
    measure,
)

__all__ = ["MEASURES", "Estimate", "EvaluationError", "Measure", "Report", "evaluate", "measure"]
