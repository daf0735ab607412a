"""Everything that shows the project works."""
