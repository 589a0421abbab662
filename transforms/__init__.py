"""Invertible transforms x ↔ z. They know nothing of models."""

from .base import Claim, Transform
from .compose import Compose
from .cosine import DCT
from .fourier import DFT
from .layout import Band, Layout
from .linear import Pixel
from .registry import get, names, register
from .wavelet import DWT

__all__ = ["DCT", "DFT", "DWT", "Band", "Claim", "Compose", "Layout", "Pixel", "Transform", "get", "names", "register"]
