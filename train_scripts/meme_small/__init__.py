"""The recipe of the shipped model: read every picture once, train the line scorer, align quotes, train
the decoder.
"""
