"""Everything that is remembered: people, pictures, captions, ratings, corrections, jobs; and its export."""
