"""Readers of the checkpoints that people have: each builds our modules, sized by the file's shapes."""
