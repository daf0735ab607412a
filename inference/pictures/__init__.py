"""Bytes from a stranger to an upright RGB picture, or a clear refusal."""
