"""Wavelet transforms and pyramids, their filter banks, and the GPU kernels of the filter banks."""
