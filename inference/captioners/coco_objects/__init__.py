"""``coco-objects``: a captioner that needs no training. A detector names the things on the picture; rules
make Russian sentences of them, of the frames and of the words read.
"""
