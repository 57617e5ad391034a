"""What an MJCF file would grow to, counted before MuJoCo builds it.

A few lines of MJCF can ask for gigabytes (a height field, a texture) or for minutes (`replicate`
within `replicate`, grids of bodies). A character needs none of that.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

from jaxrl_rewards.core import InputError

MOST_BYTES = 1 << 22
"""Of one file's text."""
MOST_ELEMENTS = 20_000
"""After `replicate` and grids have been written out, all included files together."""
MOST_CELLS = 1 << 20
"""Of a height field."""
MOST_PIXELS = 1 << 24
"""Of a texture."""
MOST_DATA = 1 << 26
"""Bytes of a file with a mesh, a skin or a picture."""
MOST_FILES, DEEPEST = 50, 100
_DOCUMENTS = ("include", "model")


def check_mjcf(path: str | Path) -> None:
    """InputError where an MJCF file, or one that it includes, asks for more than a character needs.

    Files that cannot be read or are no XML are left to MuJoCo, which says so.
    """
    _Reading(Path(path)).check()


class _Reading:
    """One file with all that it includes."""

    def __init__(self, path: Path):
        self.path, self.files = path, 0

    def check(self) -> None:
        root = self._root(self.path)
        if root is None:
            return
        count = self._weight(root, self.path, 0)
        if count > MOST_ELEMENTS:
            self._refuse(f"grows to {count:.3g} elements, more than {MOST_ELEMENTS}")

    def _refuse(self, what: str) -> None:
        raise InputError(f"MJCF {self.path} {what}; leave out what a character does not need")

    def _root(self, path: Path) -> ET.Element | None:
        self.files += 1
        if self.files > MOST_FILES:
            self._refuse(f"includes more than {MOST_FILES} files")
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > MOST_BYTES:
                self._refuse(f"has more than {MOST_BYTES} bytes in {path.name}")
            text = path.read_bytes()
        except OSError:
            return None
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            self._refuse("declares a document type or entities")
        try:
            return ET.fromstring(text)
        except (ET.ParseError, ValueError, LookupError):
            return None

    def _weight(self, element: ET.Element, path: Path, depth: int) -> float:
        """How many elements this one stands for."""
        if depth > DEEPEST:
            self._refuse(f"is nested more than {DEEPEST} deep")
        file = element.get("file")
        if file and element.tag in _DOCUMENTS:
            root = self._root(path.parent / file)
            return 1.0 if root is None else self._weight(root, path.parent / file, depth + 1)
        if file:
            self._check_data(path, file, element.tag)
        self._check_sizes(element)
        inner = 1.0 + sum(self._weight(child, path, depth + 1) for child in element)
        if element.tag == "replicate":
            return inner * max(_number(element.get("count")), 1.0)
        if element.tag in ("composite", "flexcomp"):
            counts = map(_number, (element.get("count") or "").split())
            return inner * math.prod(max(count, 1.0) for count in counts)
        return inner

    def _check_sizes(self, element: ET.Element) -> None:
        cells = _number(element.get("nrow")) * _number(element.get("ncol"))
        if cells > MOST_CELLS:
            self._refuse(f"has a height field of {cells:.3g} cells, more than {MOST_CELLS}")
        pixels = _number(element.get("width")) * _number(element.get("height"))
        if pixels > MOST_PIXELS:
            self._refuse(f"has a texture of {pixels:.3g} pixels, more than {MOST_PIXELS}")

    def _check_data(self, path: Path, file: str, tag: str) -> None:
        """A mesh or picture where it can be found: beside the MJCF, or in a folder there."""
        for place in (path.parent / file, *path.parent.glob(f"*/{Path(file).name}")):
            try:
                size = place.stat().st_size if place.is_file() else 0
                head = _beginning(place) if size else b""
            except OSError:
                continue
            if size > MOST_DATA:
                self._refuse(f"names a {tag} of more than {MOST_DATA} bytes, {file}")
            if head.startswith(b"\x89PNG"):
                pixels = int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")
                if pixels > (MOST_CELLS if tag == "hfield" else MOST_PIXELS):
                    self._refuse(f"names a picture of {pixels:.3g} pixels, {file}")


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(24)


def _number(text: str | None) -> float:
    """A number that is not negative; 0 for what is none."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if value > 0 else 0.0
