"""Packaged models and data sets."""
