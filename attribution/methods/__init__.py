"""One file for each family of attribution methods, with the formula and its source."""
