"""Pictures in files: each is read as a person sees it, in 8-bit RGB, or refused with a reason."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Explicit, because other formats of PIL start programs (PostScript) or hold no picture for people (FITS, SPIDER).
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "QOI")
MOST_PIXELS = 2**26  # some 10 bytes each while a picture is read
FEW_BITS, SCALE_IT = 4096, "scale it if it holds fewer than 16 bits"  # values below that may have 12 bits
ON_WHITE = "transparent parts are shown on white"
REFUSED_MODES = {"I": "32-bit integers", "F": "32-bit floats", "LAB": "L*a*b*"}
WHITE_IS_ZERO, BITS, PHOTOMETRIC, SAMPLE_FORMAT, SIGNED = 0, 258, 262, 339, 2  # of TIFF
COMPRESSION, PLANES, NONE, APART = 259, 284, 1, 2  # of TIFF


def open_picture(path: Path) -> Image.Image:
    """The picture of a file, not yet decoded.  Raises: ValueError or OSError with the reason why it cannot be read."""
    if not path.is_file():
        raise ValueError("not a regular file")
    return decoded_picture(path)


def decoded_picture(file: Path | IO[bytes]) -> Image.Image:
    """The picture of a file that is known to be an ordinary one, or open; not yet decoded.  Raises: as `open_picture`."""
    Image.init()
    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
        image.filename = ""  # with a name, PIL maps some files into memory, and then turns TIFFs wrongly
        return image
    except UnidentifiedImageError:
        what = "no picture that can be read: another kind of file, damaged, or of an unusual depth"
        raise ValueError(f"{what}; formats: {', '.join(FORMATS)}") from None


def from_array(data: bytes) -> Image.Image:
    """A picture from the bytes of an .npy file: whole numbers of 8 bits, (height, width), or with 1 or 3 channels.

    Raises: ValueError for other shapes and numbers.

    >>> file = io.BytesIO()
    >>> np.save(file, np.zeros((3, 4, 6), np.uint8))
    >>> from_array(file.getvalue()).size
    (6, 4)
    """
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if values.ndim == 3 and values.shape[2] not in (1, 3) and values.shape[0] in (1, 3):
        values = values.transpose(1, 2, 0)
    whole = values.dtype.kind in "ui" and values.size and values.min() >= 0 and values.max() <= 255
    if not whole or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3)):
        got = f"{' × '.join(map(str, values.shape))} of {values.dtype}"
        raise ValueError(f"expected an array (height, width) or (height, width, 3) of whole numbers in 0…255, got {got}")
    levels = values.astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels[:, :, 0] if levels.shape[2:] == (1,) else levels))


def picture_suffixes() -> frozenset[str]:
    """The endings of the names of files in `FORMATS`, as ".png"."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


def as_seen(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture in 8-bit RGB as a person sees it, and sentences about what else the file holds.

    It is turned as its EXIF orientation says; transparent parts are shown on white; 12 and 16 bits are scaled to 8; of several
    pictures in a file the first is taken. A picture of too many pixels is not decoded.

    Raises: ValueError with the reason; whatever PIL raises for damaged data.

    >>> ink = Image.new("LA", (2, 1))
    >>> ink.putpixel((0, 0), (0, 255))  # the other pixel is transparent
    >>> shown, notes = as_seen(ink)
    >>> [shown.getpixel((i, 0)) for i in range(2)], notes
    ([(0, 0, 0), (255, 255, 255)], ['transparent parts are shown on white'])
    """
    pixels = image.width * image.height
    if not 0 < pixels <= MOST_PIXELS:
        got = f"{image.width} × {image.height} = {pixels:,}"
        raise ValueError(f"expected 1 to {MOST_PIXELS:,} pixels, got {got}; save a smaller copy")
    notes = list(_about_pages(image))
    deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))  # of each channel only the higher 8 bits are kept
    image.load()
    if deep and image.mode == "RGB" and np.asarray(image).max() < FEW_BITS // 256:
        notes.append(f"dark: its brightest value is below {FEW_BITS} of 65535; {SCALE_IT}")
    image = eight_bit(_upright(image, notes), image.format, getattr(image, "tag_v2", {}), notes)
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"), notes)
    return image if image.mode == "RGB" else image.convert("RGB"), notes


def _about_pages(image: Image.Image) -> Iterator[str]:
    try:
        pages = getattr(image, "n_frames", 1)
    except Exception:  # a later picture of the file is damaged; the first is what is read
        pages = 1
    if pages > 1 and image.format != "MPO":  # the others of a camera's MPO are previews
        yield f"the first of {pages} pictures in the file"


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:
        notes.append("its EXIF data are damaged, so that it is shown as stored")
        return image


def eight_bit(image: Image.Image, form: str | None, tags: Mapping[int, Any], notes: list[str]) -> Image.Image:
    """The picture with at most 8 bits a channel. 16-bit greys become round(255 · value / white); PIL would clip them to white.

    form: the name of the file's format.  tags: those of a TIFF.

    Raises: ValueError for floats, signed numbers and 32-bit integers, because their value of white is unknown, and for what
    PIL misreads.

    >>> eight_bit(Image.new("I;16", (1, 1), 65535), "PNG", {}, []).getpixel((0, 0))
    255
    """
    signed = SIGNED in tags.get(SAMPLE_FORMAT, ())
    if not signed and (image.mode.startswith("I;16") or (image.mode == "I" and form in ("PNG", "PPM"))):
        return _scaled(image, 2 ** tags.get(BITS, (16,))[0] - 1, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO, notes)
    if tags.get(PLANES) == APART and tags.get(COMPRESSION) == NONE and max(tags.get(BITS, (1,))) > 8:
        raise ValueError("16 bits a channel, one channel after the other, which PIL misreads; save it as a PNG")
    if signed or image.mode in REFUSED_MODES:
        got = f"mode {image.mode} ({REFUSED_MODES.get(image.mode, 'signed integers')})"
        raise ValueError(f"expected 8 or 16 bits a channel, grey or colour, got {got}; save it as an 8-bit or 16-bit PNG")
    return image


def _scaled(image: Image.Image, white: int, inverted: bool, notes: list[str]) -> Image.Image:
    values = np.asarray(image)
    brightest = int(values.max())
    if white == 65535 and brightest < FEW_BITS and not inverted:
        notes.append(f"dark: its brightest value is {brightest} of {white}; {SCALE_IT}")
    levels = (np.arange(white + 1) * 255 + white // 2) // white
    shown = (255 - levels if inverted else levels).astype(np.uint8)[values]
    key = image.info.get("transparency")
    if isinstance(key, int) and (clear := values == key).any():
        shown[clear] = 255
        notes.append(ON_WHITE)
    return Image.fromarray(shown)


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    """An RGBA picture on white."""
    alpha = image.getchannel("A")
    least, most = alpha.getextrema()
    if most == 0:
        raise ValueError("every pixel is transparent; save it without transparency")
    if least == 255:
        return image
    notes.append(ON_WHITE)
    shown = Image.new("RGB", image.size, "white")
    shown.paste(image, mask=alpha)
    return shown
