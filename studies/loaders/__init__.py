"""Models and photos by name."""
