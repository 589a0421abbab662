"""`get`: a spec and a shape → the transform."""

from ..core.checks import quoted
from ..core.spec import parse
from .base import Compose, Transform
from .layout import Shape
from .registry import transforms
from .shapes import MOST_AXES, check_shape


def get(spec: str | Transform, shape: Shape) -> Transform:
    """The transform that `spec` describes, for signals of `shape` (channels, *spatial).

    A `Transform` is returned as it is, if its shape fits.
    Raises: ValueError or TypeError that names what was expected, and lists the choices.

    >>> get("dwt(db4, level=2) ", shape=(3, 32, 32)).spec
    'dwt(db4, level=2, mode=periodization)'
    """
    shape = check_shape("transform", shape, range(MOST_AXES))
    if isinstance(spec, Transform):
        if shape != spec.shape:
            advice = "build it anew for this shape, or pass its spec as a string"
            raise ValueError(f"{spec.title}: built for signals of shape {spec.shape}, got {shape}; {advice}.")
        return spec
    if not isinstance(spec, str):
        raise TypeError(f"transform: expected a spec such as 'dct', or a Transform; got {quoted(spec)}.")
    built: list[Transform] = []
    for call in parse(spec):
        built.append(transforms.build(call, built[-1].layout.shape if built else shape))
    return built[0] if len(built) == 1 else Compose(*built)
