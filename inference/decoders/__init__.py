"""Decoders behind one interface: see :mod:`inference.decoders.base`."""
