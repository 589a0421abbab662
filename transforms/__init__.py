"""Invertible transforms x ↔ z. They know nothing of models."""

from .axes import Along, PerAxis
from .base import Claim, Transform
from .color import Color
from .combine import InverseOf, Restrict, inverse_of
from .compose import Compose
from .cosine import DCT
from .fourier import DFT
from .frame import condition_number, frame_bounds
from .layout import Band, Layout
from .linear import Linear, Operator, Pixel
from .pca import PCA
from .polar import Polar
from .registry import get, names, register
from .wavelet import DWT
from .wrap import Wrap, wrap

__all__ = [
    "DCT",
    "DFT",
    "DWT",
    "PCA",
    "Along",
    "Band",
    "Claim",
    "Color",
    "Compose",
    "InverseOf",
    "Layout",
    "Linear",
    "Operator",
    "PerAxis",
    "Pixel",
    "Polar",
    "Restrict",
    "Transform",
    "Wrap",
    "condition_number",
    "frame_bounds",
    "get",
    "inverse_of",
    "names",
    "register",
    "wrap",
]
