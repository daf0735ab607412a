"""The commands of ``python -m inference``, one module each; none imports torch before it needs it."""
