"""Pictures in files: what a person sees is what the model gets, or a reason is given."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from pullback import studies
from pullback.studies.kinds import pictures

RAMP = np.arange(48).reshape(6, 8)  # 0 … 47


def seen(path: Path) -> tuple[np.ndarray, list[str]]:
    """The picture as it is read, and the notes about it."""
    photos = studies.load_photos(path)
    ((_, image),) = photos
    assert image.mode == "RGB"
    return np.asarray(image).astype(int), [note for _, note in photos.notes]


def refused(path: Path) -> str:
    photos = studies.load_photos(path)
    assert not list(photos)
    return photos.skipped[0][1]


def tiff(path: Path, samples: bytes, bits: int, order: str = "<", **tags: int) -> None:
    """A TIFF of 8 × 6 greys, written by hand: PIL writes neither 12 bits nor white as zero."""
    found = {256: 8, 257: 6, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: len(samples)}
    found |= {int(name.removeprefix("tag")): value for name, value in tags.items()}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, found[tag]) for tag in sorted(found))
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(samples))
    path.write_bytes(head + samples + struct.pack(f"{order}H", len(found)) + entries + bytes(4))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_orientation_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    scene = np.zeros((48, 64, 3), np.uint8)
    scene[:16], scene[:, :8] = [255, 0, 0], [0, 0, 255]
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    tagged = Image.fromarray(scene)
    if orientation > 1:
        exif = tagged.getexif()
        exif[0x0112] = undo[orientation]
        tagged = ImageOps.exif_transpose(tagged)
    stored = Image.Exif()
    stored[0x0112] = orientation
    tagged.save(tmp_path / f"a.{suffix}", exif=stored, quality=100)
    read, notes = seen(tmp_path / f"a.{suffix}")
    assert read.shape == scene.shape
    assert np.abs(read - scene).mean() < 3
    assert not notes


def test_sixteen_bits_are_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((RAMP * 1300).astype(np.uint16)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(seen(tmp_path / "a.png")[0][..., 0], np.rot90(np.round(RAMP * 1300 / 257), -1))


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "CMYK", "RGBA"])
@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_tiff_that_pil_maps_into_memory_is_turned_too(mode: str, orientation: int, turns: int, tmp_path: Path) -> None:
    grey = Image.fromarray(RAMP.astype(np.uint8) * 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(RAMP.astype(np.uint16) * 5 * 257) if mode == "I;16" else grey.convert(mode)
    stored.save(tmp_path / "a.tif", exif=exif)
    np.testing.assert_allclose(seen(tmp_path / "a.tif")[0][..., 0], np.rot90(RAMP * 5, turns), atol=2)


@pytest.mark.parametrize("kind", ["LA", "RGBA", "palette", "colour key", "grey key", "16-bit key", "gif", "webp"])
def test_transparent_parts_are_shown_on_white_and_said(kind: str, tmp_path: Path) -> None:
    """Black ink on nothing would become one black square."""
    ink = np.zeros((32, 32), bool)
    ink[8:24, 8:24] = True
    path = tmp_path / ("a.gif" if kind == "gif" else "a.webp" if kind == "webp" else "a.png")
    alpha = (255 * ink).astype(np.uint8)
    if kind == "LA":
        Image.fromarray(np.stack([0 * alpha, alpha], 2)).save(path)
    elif kind in ("RGBA", "webp"):
        Image.merge("RGBA", [Image.new("L", (32, 32))] * 3 + [Image.fromarray(alpha)]).save(path, lossless=True)
    elif kind in ("palette", "gif"):
        image = Image.fromarray(ink.astype(np.uint8)).convert("P")
        image.putpalette([9, 9, 9, 0, 0, 0])
        image.save(path, transparency=0)
    elif kind == "colour key":
        Image.fromarray(np.where(ink[..., None], 0, [1, 2, 3]).astype(np.uint8)).save(path, transparency=(1, 2, 3))
    elif kind == "grey key":
        Image.fromarray(np.where(ink, 0, 7).astype(np.uint8)).save(path, transparency=7)
    else:
        Image.fromarray(np.where(ink, 0, 700).astype(np.uint16)).save(path, transparency=700)
    read, notes = seen(path)
    np.testing.assert_array_equal(read, np.repeat(np.where(ink, 0, 255)[..., None], 3, 2))
    assert "transparent parts are shown on white" in notes


def test_half_transparent_parts_are_mixed_with_white_and_opaque_ones_are_not_mentioned(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 6), (10, 20, 30, 51)).save(tmp_path / "a.png")
    assert seen(tmp_path / "a.png")[0][0, 0].tolist() == [206, 208, 210]  # 255 + (10 - 255) / 5
    Image.new("RGBA", (8, 6), (10, 20, 30, 255)).save(tmp_path / "a.png")
    read, notes = seen(tmp_path / "a.png")
    assert (read[0, 0].tolist(), notes) == ([10, 20, 30], [])
    Image.new("RGBA", (8, 6), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png") == "every pixel is transparent; save it without transparency"


@pytest.mark.parametrize("order", ["<", ">"])
def test_greys_of_a_tiff_go_from_black_to_white(order: str, tmp_path: Path) -> None:
    """16 bits, white as zero or as 65535; 8, 4, 2 bits and 1 bit likewise."""
    wide = RAMP * 1394  # up to 65518
    data = wide.astype(f"{order}u2").tobytes()
    expected = np.round(wide / 257)
    tiff(tmp_path / "16.tif", data, 16, order)
    np.testing.assert_array_equal(seen(tmp_path / "16.tif")[0][..., 0], expected)
    if order == "<":
        tiff(tmp_path / "inverted.tif", data, 16, order, tag262=0)
        np.testing.assert_array_equal(seen(tmp_path / "inverted.tif")[0][..., 0], 255 - expected)
        twelve = "".join(f"{value:012b}" for value in (RAMP * 87).flatten())  # up to 4089
        tiff(tmp_path / "12.tif", int(twelve, 2).to_bytes(72, "big"), 12, order)
        np.testing.assert_array_equal(seen(tmp_path / "12.tif")[0][..., 0], np.round(RAMP * 87 * 255 / 4095))
    for bits in (8, 4, 2, 1):
        level = RAMP % 2**bits
        packed = np.packbits(np.unpackbits(level.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :].reshape(6, -1), axis=1)
        for inverted in (False, True):
            tiff(tmp_path / "few.tif", packed.tobytes(), bits, order, tag262=1 - inverted)
            value = np.round(level * 255 / (2**bits - 1))
            np.testing.assert_array_equal(seen(tmp_path / "few.tif")[0][..., 0], 255 - value if inverted else value)


def test_numbers_without_a_known_white_are_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "signed.tif", RAMP.astype(np.int8).tobytes(), 8, tag339=2)
    assert "signed integers" in refused(tmp_path / "signed.tif")
    Image.new("LAB", (8, 6)).save(tmp_path / "lab.tif")
    assert "L*a*b*" in refused(tmp_path / "lab.tif")
    twelve = "".join(f"{value:012b}" for value in (RAMP * 87).flatten())
    tiff(tmp_path / "12.tif", int(twelve, 2).to_bytes(72, "big"), 12, tag262=0)
    assert "unusual depth" in refused(tmp_path / "12.tif")


def test_sixteen_bit_colours_one_channel_after_the_other_are_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "planes.tif", (RAMP * 1300).astype("<u2").tobytes() * 3, 16, tag262=2, tag277=3, tag284=2)
    assert "which PIL misreads; save it as a PNG" in refused(tmp_path / "planes.tif")
    tiff(tmp_path / "grey.tif", (RAMP * 1300).astype("<u2").tobytes(), 16)
    np.testing.assert_array_equal(seen(tmp_path / "grey.tif")[0][..., 0], np.round(RAMP * 1300 / 257))


def test_a_map_of_greys_scales_with_its_own_white_and_a_dark_picture_is_said(tmp_path: Path) -> None:
    """PGM states its white; a PNG with 12 bits in 16 cannot, so that a note says it."""
    for white in (47, 1023, 4095, 65535):
        dtype = ">u2" if white > 255 else "u1"
        values = RAMP * (white // 47)
        (tmp_path / "a.pgm").write_bytes(b"P5 8 6 %d\n" % white + values.astype(dtype).tobytes())
        read, notes = seen(tmp_path / "a.pgm")
        assert np.abs(read[..., 0] - values * 255 / white).max() < 0.52
        assert not notes
    Image.fromarray((RAMP * 87).astype(np.uint16)).save(tmp_path / "dark.png")
    assert seen(tmp_path / "dark.png")[1] == [
        "dark: its brightest value is 4089 of 65535; scale it if it holds fewer than 16 bits"
    ]


@pytest.mark.parametrize(("most", "dark"), [(4095, True), (65535, False)])
def test_colours_of_12_bits_in_16_are_dark_and_that_is_said(most: int, dark: bool, tmp_path: Path) -> None:
    """PIL keeps the higher 8 of 16 bits of a colour; written by hand, as PIL writes no such PNG."""
    rows = np.linspace(0, most, 8 * 6 * 3).round().astype(">u2").reshape(6, 24)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    read, notes = seen(tmp_path / "a.png")
    assert read.max() == most // 256
    assert notes == ["dark: its brightest value is below 4096 of 65535; scale it if it holds fewer than 16 bits"] * dark


def test_inks_and_palettes_are_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 6), (255, 0, 0))
    red.convert("CMYK").save(tmp_path / "inks.jpg", quality=100)
    red.convert("CMYK").save(tmp_path / "inks.tif")
    red.convert("P").save(tmp_path / "palette.png")
    red.convert("YCbCr").save(tmp_path / "video.tif")
    for name in ("inks.jpg", "inks.tif", "palette.png", "video.tif"):
        assert np.abs(seen(tmp_path / name)[0] - [255, 0, 0]).max() <= 6, name


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_of_several_pictures_the_first_is_read_and_said(suffix: str, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 6), color) for color in ("red", "blue", "lime")]
    pages[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:], lossless=True)
    read, notes = seen(tmp_path / f"a.{suffix}")
    assert read[0, 0].tolist() == [255, 0, 0]
    assert notes == ["the first of 3 pictures in the file"]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PIL's own limit is, which stays as it is."""
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("it was decoded"))
    for limit in (None, 10**9):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "10000 × 10000 = 100,000,000; save a smaller copy" in refused(tmp_path / "bomb.png")
        assert limit == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "decompression bomb" in refused(tmp_path / "bomb.png")


def test_only_formats_of_pictures_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript would start a program, whatever the name of its file is."""
    Image.init()
    started: list[str] = []
    for name in ("EPS", "SPIDER", "DDS", "BLP"):
        monkeypatch.setitem(Image.OPEN, name, (lambda *args, name=name: started.append(name), None))
    (tmp_path / "holiday.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n")
    assert "no picture that can be read" in refused(tmp_path / "holiday.jpg")
    assert not started
    with pytest.raises(AttributeError):  # PIL by itself tries it; this one returns no picture
        Image.open(tmp_path / "holiday.jpg")
    assert started


class Damaged(Image.Image):
    """A picture whose decoder fails."""

    fault: BaseException

    def load(self) -> object:
        raise self.fault


@pytest.mark.parametrize("fault", [MemoryError(), KeyError("box"), struct.error("short"), RecursionError(), IndexError()])
def test_whatever_a_decoder_raises_the_picture_is_skipped_and_named(fault: Exception) -> None:
    broken = Damaged()
    broken._size, broken.fault = (4, 2), fault
    whole = Image.new("RGB", (4, 2))
    photos = studies.Photos([studies.Photo("a", None, whole.copy), studies.Photo("b", None, lambda: broken)])
    photos.entries.append(studies.Photo("c", None, whole.copy))
    assert [photo.name for photo, _ in photos] == ["a", "c"]
    ((name, reason),) = photos.skipped
    assert name == "b"
    assert reason.startswith(type(fault).__name__)


def test_an_interrupt_is_no_damage() -> None:
    broken = Damaged()
    broken._size, broken.fault = (4, 2), KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        list(studies.Photos([studies.Photo("b", None, lambda: broken)]))


def test_a_file_that_cannot_be_prepared_for_lack_of_memory_is_skipped(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 6) if name == "a.png" else (80, 60)).save(tmp_path / name)

    def prepare(image: Image.Image) -> int:
        if image.width > 8:
            raise MemoryError
        return image.width

    photos = studies.load_photos(tmp_path)
    assert [(photo.name, width) for photo, width in photos.inputs(prepare)] == [("a.png", 8)]
    assert photos.skipped == [("b.png", "MemoryError: too large to prepare")]


def test_one_mutated_file_of_any_format_never_ends_the_reading(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "avif", "jp2", "ppm", "tga", "qoi"):
        scene.save(tmp_path / f"whole.{suffix}")
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        for number in range(12):
            broken = bytearray(data[: rng.integers(20, len(data) + 1)])
            for place in rng.integers(0, min(len(broken), 200), 6):
                broken[place] = rng.integers(256)
            (tmp_path / f"broken-{number}.{suffix}").write_bytes(broken)
    photos = studies.load_photos(tmp_path)
    with warnings.catch_warnings(action="ignore"):
        read = [photo.name for photo, _ in photos]
    assert sum(name.startswith("whole") for name in read) == 11
    assert len(read) + len(photos.skipped) == 11 * 13
    assert all(len(reason) <= 200 and "\n" not in reason for _, reason in photos.skipped)


def test_damaged_orientation_is_said_and_the_picture_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png", exif=b"Exif\0\0" + b"rubbish" * 3)
    read, notes = seen(tmp_path / "a.png")
    assert read.shape == (6, 8, 3)
    assert notes == ["its EXIF data are damaged, so that it is shown as stored"]


def test_a_text_of_ours_in_a_photo_of_another_program_means_nothing(tmp_path: Path) -> None:
    """Only the name of the program that wrote it is read, and only among the files of a folder."""
    info = PngInfo()
    info.add_text("Title", "pullback")
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png", pnginfo=info)
    assert [photo.name for photo, _ in studies.load_photos(tmp_path)] == ["a.png"]


def test_a_picture_that_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for spec in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            studies.load_photos(spec)
    with pytest.raises(ValueError, match="not a regular file"):
        pictures.open_picture(tmp_path / "pipe.png")
