"""Invertible transforms x ↔ z. They know nothing of models."""

from .axes import Along, PerAxis
from .base import Claim, Transform
from .color import Color
from .combine import InverseOf, Restrict, inverse_of
from .compose import Compose
from .cosine import DCT, BlockDCT
from .dualtree import DTCWT
from .fourier import DFT, Hartley
from .frame import condition_number, frame_bounds
from .hadamard import Hadamard
from .lapped import MDCT, STFT
from .layout import Band, Layout
from .linear import Linear, Operator, Pixel
from .packet import WPT
from .pca import PCA
from .polar import Polar
from .pyramid import Laplacian
from .registry import get, names, register
from .stationary import SWT
from .wavelet import DWT
from .wrap import Wrap, wrap

__all__ = [
    "DCT",
    "DFT",
    "DTCWT",
    "DWT",
    "MDCT",
    "PCA",
    "STFT",
    "SWT",
    "WPT",
    "Along",
    "Band",
    "BlockDCT",
    "Claim",
    "Color",
    "Compose",
    "Hadamard",
    "Hartley",
    "InverseOf",
    "Laplacian",
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
