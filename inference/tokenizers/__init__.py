"""Text to tokens and back: words, byte-pair encodings, and vectors for words."""
