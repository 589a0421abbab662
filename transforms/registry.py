"""The registry of transforms."""

from ..core.registry import Registry
from .base import Transform

transforms: Registry[Transform] = Registry("transform", "pullback.transforms")
add = register = transforms.register
names = transforms.names
