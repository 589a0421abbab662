"""The robustness study: on which scales models rely, and whether that says how they behave under filters, noise and attacks."""
