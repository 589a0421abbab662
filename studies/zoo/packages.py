"""Files of Debian packages and of source archives, installed or unpacked in the user's cache folder."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where weights that were trained here, and packages that were unpacked without root, are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pullback"


def debian_install(package: str) -> str:
    """The command that installs a Debian package; and the one for those who are not root.

    >>> debian_install("tuxpaint-stamps-default").splitlines()[0]
    'apt-get install tuxpaint-stamps-default'
    """
    unpack = f"apt-get download {package} && dpkg -x {package}_*.deb {package}"
    return f"apt-get install {package}\nmkdir -p {_unpacked()} && cd {_unpacked()} && {unpack}"


def debian_folder(package: str, folder: str) -> Path | None:
    """A folder of a Debian package, as "usr/share/…": installed or unpacked in the cache folder; None without either."""
    return next((root / folder for root in (Path("/"), _unpacked() / package) if (root / folder).is_dir()), None)


def debian_needed(who: str, package: str, folder: str) -> Path:
    """As `debian_folder`.  who: begins the message.  Raises: ImportError that says what to install."""
    found = debian_folder(package, folder)
    if found is None:
        one, other = debian_install(package).splitlines()
        raise ImportError(f"{who} needs the Debian package {package}: {one}. Without root: {other}.")
    return found


def _unpacked() -> Path:
    return cache_folder() / "debian"
