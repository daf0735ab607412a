"""The published captioners as data: one NAME.yaml a system, read by :mod:`inference.presets.preset`."""
