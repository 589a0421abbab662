"""Integrated gradients with an estimate of their error."""
