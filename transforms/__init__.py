"""Invertible transforms x ↔ z. They know nothing of models."""

from .axes import Along, PerAxis
from .base import Compose, Transform, TransformClaim
from .block_linear import BlockLinear
from .color import Color
from .combine import InverseOf, Restrict, inverse_of
from .frame_bounds import condition_number, frame_bounds
from .get import get
from .harmonic.cosine import DCT, BlockDCT
from .harmonic.fourier import DFT, Hartley
from .harmonic.hadamard import Hadamard
from .harmonic.lapped import MDCT, STFT
from .harmonic.polar import Polar
from .layout import Band, Layout
from .linear import Linear, Pixel
from .pca import PCA
from .reference import Reference
from .registry import names, register
from .subband_linear import SubbandLinear
from .wavelets.dualtree import DTCWT
from .wavelets.dwt import DWT
from .wavelets.laplacian import Laplacian
from .wavelets.lattice import Lattice, lattice_angles
from .wavelets.packet import WPT
from .wavelets.stationary import SWT
from .wavelets.tiling import Tiling
from .wrap import Operator, Wrap, wrap

__all__ = ["DCT", "DFT", "DTCWT", "DWT", "MDCT", "PCA", "STFT", "SWT", "WPT", "Along", "Band", "BlockDCT", "BlockLinear"]
__all__ += ["Color", "Compose", "Hadamard", "Hartley", "InverseOf", "Laplacian", "Lattice", "Layout", "Linear", "Operator"]
__all__ += ["PerAxis", "Pixel", "Polar", "Reference", "Restrict", "SubbandLinear", "Tiling", "Transform", "TransformClaim"]
__all__ += ["Wrap", "condition_number", "frame_bounds", "get", "inverse_of", "lattice_angles", "names", "register", "wrap"]
