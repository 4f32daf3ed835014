"""Reading a compressed tar file piece by piece, within limits of memory and size."""

from __future__ import annotations

import io
import lzma
import tarfile
from typing import BinaryIO

MOST_MEMORY = 1 << 26
"""For unpacking; the preset of `pack_cells` needs 9 MiB."""


class ArchiveError(Exception):
    """A fault of an archive, as the end of a sentence."""


class Unpacked:
    """The unpacked content of a file, never read beyond the bytes asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        pieces = []
        while size:
            piece = self._some(size)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def require_end(self) -> None:
        """Only the zeros that fill the last record of a tar file may follow."""
        left = 2 * tarfile.RECORDSIZE
        while not self._decompressor.eof:
            piece = self._decompress(tarfile.BLOCKSIZE)
            left -= len(piece)
            if any(piece) or left < 0:
                raise ArchiveError("holds more than its manifest names")
        if self._decompressor.unused_data or self._file.read(1):
            raise ArchiveError("continues after its end")

    def _some(self, size: int) -> bytes:
        if self._decompressor.eof:
            raise ArchiveError("ends before all that its manifest names")
        return self._decompress(size)

    def _decompress(self, size: int) -> bytes:
        more = self._file.read(io.DEFAULT_BUFFER_SIZE) if self._decompressor.needs_input else b""
        if self._decompressor.needs_input and not more:
            raise ArchiveError("is cut off")
        try:
            return self._decompressor.decompress(more, size)
        except (lzma.LZMAError, MemoryError):
            raise ArchiveError("is no archive of records, or is damaged") from None
