"""The model that ships: what it sees, what it may say, and the sentences by rules around its own."""
