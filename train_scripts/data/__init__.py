"""Readers: what a source has becomes plain rows that training and evaluation share."""
