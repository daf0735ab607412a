"""A language model of one's own, for prefix captioners where no published one is."""
