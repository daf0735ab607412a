"""An encoder and a decoder as one captioner: what the presets build, training trains and checkpoints keep."""

from inference.captioners.encoder_decoder.batch import Batch
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens

__all__ = ["Batch", "CaptionModel", "SpecialTokens"]
