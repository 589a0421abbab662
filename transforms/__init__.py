"""Invertible transforms x ↔ z. They know nothing of models."""

from .base import Claim, Transform
from .compose import Compose
from .cosine import DCT, BlockDCT
from .fourier import DFT, Hartley
from .hadamard import Hadamard
from .lapped import MDCT, STFT
from .layout import Band, Layout
from .linear import Pixel
from .pyramid import Laplacian
from .registry import get, names, register
from .wavelet import DWT

__all__ = [
    "DCT", "DFT", "DWT", "MDCT", "STFT", "Band", "BlockDCT", "Claim", "Compose", "Hadamard", "Hartley", "Laplacian", "Layout",
    "Pixel", "Transform", "get", "names", "register",
]  # fmt: skip
