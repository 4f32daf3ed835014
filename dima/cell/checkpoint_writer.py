"""Checkpoints written while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from dima.cell.checkpoint import Packed, pack, write_checkpoint


class CheckpointWriter:
    """Writes checkpoints in a thread, one at a time, each from a copy of the state.

    A checkpoint gets its name when it is complete on the disk, so that a kill at any moment leaves the one
    before. On leaving the context, the checkpoint that is being written is finished first.

    Args:
        folder: of the checkpoints.
        then: called after each of them, in the thread.
    """

    def __init__(self, folder: Path, then: Callable[[], None]) -> None:
        self._folder, self._then = folder, then
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def write(self, number: int, state: dict[str, Any]) -> None:
        """Start to write `state` as checkpoint `number`, once the last one is written.

        Raises:
            OSError: the last one could not be written (see `write_checkpoint`).
            TypeError: the state holds what a checkpoint cannot.
        """
        self.wait()
        self._writing = self._thread.submit(self._write, number, pack(state))

    def _write(self, number: int, packed: Packed) -> None:
        write_checkpoint(self._folder, number, packed)
        self._then()

    def refuse_if_failed(self) -> None:
        """Raise OSError if the last checkpoint could not be written; does not wait for one being written."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return when the last checkpoint is written. Raises OSError if it could not be."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if kind is None:  # otherwise the first error is the one to raise
            self.wait()
