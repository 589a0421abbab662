"""Networks that compute the same function as a given one, to test whether a method notices the difference."""
