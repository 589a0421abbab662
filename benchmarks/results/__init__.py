"""The stored results, and how a new run is stored and compared with them."""
