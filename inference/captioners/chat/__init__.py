"""Models that talk: what they are asked, what becomes of their answers, and the servers that run them."""
