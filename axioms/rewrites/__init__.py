"""Rewrites a network into others that compute the same function, to test whether a method notices the difference.

`rewrite` applies rewrites and compares the outputs; `steps` holds the rewrites, one function each; `graph` finds the places
where they apply; `modules` holds the layers that they insert, and the networks that the laws use.
"""
