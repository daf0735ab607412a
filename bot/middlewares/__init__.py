"""What every update passes on its way in, and every request on its way out."""
