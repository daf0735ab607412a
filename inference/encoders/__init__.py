"""Encoders of pictures behind one interface: build one with :func:`build_encoder`."""

from inference.encoders.base import Encoder, Memory, Yields, build_encoder, kinds, register
from inference.encoders.cnn import (
    ConvolutionalEncoder,
    FeaturePyramidEncoder,
    load_torchvision,
    torchvision_file,
)
from inference.encoders.preprocessing import Preprocessing
from inference.encoders.ruclip import RuClip, RuClipConfig, RuClipEncoder

__all__ = [
    "ConvolutionalEncoder",
    "Encoder",
    "FeaturePyramidEncoder",
    "Memory",
    "Preprocessing",
    "RuClip",
    "RuClipConfig",
    "RuClipEncoder",
    "Yields",
    "build_encoder",
    "kinds",
    "load_torchvision",
    "register",
    "torchvision_file",
]
