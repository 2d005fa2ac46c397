"""Zip archives of strangers: an entry is unpacked only when its stated size is in bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 - a class

from kinefit.io.text import check_file
from kinefit.types import InputError


@contextmanager
def open_archive(path: Path, what: str, hint: str, limit: int) -> Iterator[ZipFile]:
    """The archive; what is wrong with it, then or while it is read, becomes an InputError.

    what: of which it should be, as "arrays". limit: bytes of the file.
    """
    check_file(path, limit)
    try:
        with ZipFile(path) as archive:
            yield archive
    except (
        *(BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError),
        *(ValueError, OSError),  # a damaged directory: seeks before the file, names in no encoding
    ) as error:
        raise InputError(path, f"is not an archive of {what} ({error})", hint) from error


def unpacked(archive: ZipFile, entry: ZipInfo) -> bytearray:
    """The entry's bytes, in memory once; raises EOFError where the archive is cut off."""
    content = bytearray(entry.file_size)
    with archive.open(entry) as stream:
        view, filled = memoryview(content), 0
        while count := stream.readinto(view[filled:]):  # type: ignore[attr-defined]
            filled += count
    if filled != entry.file_size:
        raise EOFError(f"{entry.filename} is cut off")
    return content
