"""Searching for a caption, whatever runs the step."""
