"""How fast, how large: ``python -m tests.benchmarks``. Measured on demand, never asserted by a test."""
