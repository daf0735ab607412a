"""Weight files of others, opened without running anything that is written in them."""
