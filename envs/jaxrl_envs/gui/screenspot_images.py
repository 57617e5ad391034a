"""Images of annotation files: PNG, JPEG and WebP to uint8[H, W, 3], with every fault named.

Pillow is imported inside the functions. EXIF orientation is ignored: annotations count pixels as
they are stored.
"""

import stat
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from jaxrl_rewards.core.errors import InputError

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 512 * 1024 * 1024

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"


FORMATS = ("PNG", "JPEG", "WEBP")


def show_path(path: object) -> str:
    """Return a path as printable text on one line; a very long one loses its middle."""
    text = str(path)
    if not text.isprintable():
        text = text.encode("unicode_escape", "replace").decode("ascii")
    return text if len(text) <= 400 else f"{text[:200]}...{text[-150:]}"


def read_file_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `max_bytes`, else raise `InputError`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{show_path(path)} is not a regular file; give the file itself")
        if status.st_size > max_bytes:
            raise InputError(
                f"{show_path(path)} has {status.st_size} bytes, more than the limit of "
                f"{max_bytes}; split or shrink it"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{show_path(path)} does not exist; check the name") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{show_path(path)} cannot be read ({reason}); check it") from None


def _check_png(data: bytes) -> None:
    """Walk the chunks of a PNG and compare their checksums; cheap, and it finds every cut."""
    position = len(_PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise InputError("the PNG file is truncated; copy or download it again")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise InputError("the PNG file is truncated; copy or download it again")
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
            raise InputError("the PNG file is corrupt (checksum); copy or download it again")
        if data[position + 4 : position + 8] == b"IEND":
            return
        position = end + 4


def check_image_bytes(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (width, height) after the checks that need no decoding.

    The signature must be PNG, JPEG or WebP; a PNG's chunks must be whole with right checksums; a
    JPEG must have its end marker, a WebP file the length it states; the image must have at most
    `max_pixels` pixels. Raises `InputError`.
    """
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data)
    elif data.startswith(_JPEG_SIGNATURE):
        if data.rfind(b"\xff\xd9") < 0:
            raise InputError("the JPEG file is truncated; copy or download it again")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        if len(data) < 8 + int.from_bytes(data[4:8], "little"):
            raise InputError("the WebP file is truncated; copy or download it again")
    else:
        kind = "empty" if not data else "neither PNG, JPEG nor WebP"
        raise InputError(f"the image file is {kind}; supply it as PNG, JPEG or WebP")
    with _open(data) as image:
        return _checked_size(image, max_pixels)


def decode_image_bytes(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode PNG, JPEG or WebP bytes to uint8[H, W, 3].

    Grey, palette, CMYK and 16-bit images are converted (16 bits keep the upper 8); transparency
    is laid over white. Raises `InputError` for anything that does not decode wholly.
    """
    check_image_bytes(data, max_pixels)
    with _open(data) as image:
        _checked_size(image, max_pixels)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image.load()
                pixels = _to_rgb(image)
        except Exception as error:
            raise InputError(
                f"the image does not decode ({_reason(error)}); copy or download it again"
            ) from None
    return pixels


def load_image(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read and decode one image file to uint8[H, W, 3]; faults name the file."""
    data = read_file_bytes(path)
    try:
        return decode_image_bytes(data, max_pixels)
    except InputError as error:
        raise InputError(f"{show_path(path)}: {error}") from None


def encode_png(pixels: np.ndarray) -> bytes:
    """Return PNG bytes of uint8[H, W, 3] pixels."""
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise InputError(
            f"an image array is {pixels.dtype}{list(pixels.shape)}; give uint8[H, W, 3]"
        )
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _open(data: bytes):
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit on pixels is ours
            return Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError("the image has too many pixels to be safe; shrink it") from None
    except Exception as error:
        raise InputError(
            f"the image header is corrupt ({_reason(error)}); copy or download it again"
        ) from None


def _checked_size(image, max_pixels: int) -> tuple[int, int]:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"the image is {width}x{height}; supply one with pixels")
    if width * height > max_pixels:
        raise InputError(
            f"the image is {width}x{height}, more than the limit of {max_pixels} pixels; shrink "
            "it, or raise max_pixels"
        )
    return width, height


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "BytesIO" in text:  # Pillow names the in-memory file, which tells nobody anything
        text = "not understood"
    return (text or type(error).__name__)[:120]


def _to_rgb(image) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith("I"):
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return np.repeat((wide >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layered)
    return np.array(image.convert("RGB"), dtype=np.uint8)
