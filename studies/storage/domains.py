"""A fitted domain as a stored piece: its tables as plain data, and its matrices in a file beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...core.files import write_whole
from ...domains import FittedDomain
from ...transforms import BlockLinear, SubbandLinear, Transform, get
from ...transforms.grouped import Grouped
from .pieces import Files, Piece
from .store import Store

_TABLES = ("judged", "contrasts", "candidates")
FILES: Files = lambda piece: [piece["file"]] if piece["file"] else []


def stored(found: FittedDomain, store: Store, key: str) -> Piece:
    """A domain as a piece of `store`; the matrices of all its transforms are written beside it."""
    each = {"transform": found.transform, "twin": found.twin}
    each |= {f"{fold} {name}": one for fold, domains in enumerate(found.domains) for name, one in domains.items()}
    held = {name: T.matrices for name, T in each.items() if isinstance(T, Grouped)}
    matrices = {f"{name}/{kind}": one.contiguous() for name, own in held.items() for kind, one in own.items()}
    path = store.path(key).with_suffix(".safetensors")
    if matrices:
        write_whole(path, lambda place: save_file(matrices, place))
    piece: Piece = {"settings": found.settings, "folds": len(found.domains)}
    piece |= {"domains": {name: _about(T) for name, T in each.items()}}
    piece |= {name: getattr(found, name).to_dict("list") for name in _TABLES}
    return piece | {"file": f"{path.parent.name}/{path.name}" if matrices else ""}


def build(piece: Piece, out: Path) -> FittedDomain:
    """The domain that `stored` made a piece of, in the folder `out`."""
    matrices = load_file(out / piece["file"]) if piece["file"] else {}
    shape, made = tuple(piece["settings"]["shape"]), dict[str, Transform]()
    for name, about in piece["domains"].items():
        own = {key.removeprefix(f"{name}/"): one for key, one in matrices.items() if key.startswith(f"{name}/")}
        made[name] = _built(about, own, shape)
    folds: list[dict[str, Transform]] = [{} for _ in range(piece["folds"])]
    for name, one in made.items():
        if name not in ("transform", "twin"):
            fold, _, search = name.partition(" ")
            folds[int(fold)][search] = one
    tables = {name: pd.DataFrame(piece[name]) for name in _TABLES}
    return FittedDomain(made["transform"], made["twin"], **tables, domains=folds, settings=piece["settings"])


def _about(transform: Transform) -> dict[str, Any]:
    """What a transform is beside its matrices."""
    if isinstance(transform, BlockLinear):
        return {"block": list(transform.block), "overlap": transform.overlap}
    return {"inner": transform.inner.spec} if isinstance(transform, SubbandLinear) else {"spec": transform.spec}


def _built(about: Mapping[str, Any], matrices: dict[str, Tensor], shape: tuple[int, ...]) -> Transform:
    if "block" in about:
        return BlockLinear(shape, matrices["block"], about["block"], about["overlap"])
    return SubbandLinear(shape, matrices, about["inner"]) if "inner" in about else get(about["spec"], shape)
