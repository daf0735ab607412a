"""Readers, one module a kind of source. Each yields `train_scripts.data.records.Item`s."""
