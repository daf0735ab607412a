"""Encoders of pictures behind one interface: see :mod:`inference.encoders.base`."""
