"""Benchmarks of `pullback`; the library never imports them."""
