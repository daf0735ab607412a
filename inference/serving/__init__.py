"""Pictures to captions for many at once: the engine and its worker, here or on another machine."""
