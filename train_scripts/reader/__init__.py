"""Trains the part of the reader that is our own: a recogniser of Cyrillic and Latin lines."""
