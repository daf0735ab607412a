"""Plain data and small helpers that every room may use. Imports nothing heavy."""
