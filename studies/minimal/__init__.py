"""Minimal images: the fewest coefficients that keep a prediction, beside controls with equally many coefficients."""
