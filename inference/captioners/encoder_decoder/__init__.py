"""An encoder and a decoder as one captioner: what the presets build, training trains and checkpoints keep."""
