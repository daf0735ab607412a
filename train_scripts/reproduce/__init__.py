"""`python -m train_scripts reproduce NAME`: published captioners, from their authors' files to a checkpoint.

What there is to do is data (`systems/NAME.yaml`, `data.yaml`); `planning` makes steps of it, and what lies on
the disk says which of them are done. Downloads, preparing, training, scoring and promoting are those of the
other commands.
"""
