"""Trains any preset from one config file: `python -m train_scripts train`."""
