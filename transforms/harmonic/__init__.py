"""Cosine, Fourier and Walsh–Hadamard transforms, of the whole signal, of blocks and of overlapping windows."""
