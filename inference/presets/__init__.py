"""The published captioners as data."""
