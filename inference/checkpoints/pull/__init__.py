"""Known public weights, fetched once: with a way back into an interrupted download, and a check of what came.

``entries`` says what there is (a table, ``known.json``), ``download`` brings bytes, ``pulling`` checks and
records what came.

Files are gigabytes, and people stop commands: what came before must not come again. Neither ``pooch`` nor the
download of ``huggingface_hub`` keeps a part of a file once its process has gone, so the bytes are fetched
here. Of files of the hub, ``huggingface_hub`` tells the address and the sha256.
"""
