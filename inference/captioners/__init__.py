"""The captioners: each describes pictures, whatever is behind it."""
