"""Errors whose message is one sentence for the person at the keyboard, each with its exit status."""

from __future__ import annotations

BAD_INPUT, DIVERGED, DISK_FULL, CRASHED, LOCKED, STOPPED, INTERRUPTED = 2, 3, 4, 5, 75, 99, 130


class DimaError(Exception):
    """An error that ends a command with a status of its own."""

    status: int


class UserError(DimaError):
    """Something the user can put right: the message names the thing and the choices."""

    status = BAD_INPUT


class DivergedError(DimaError):
    """Training produced a number that is not finite: the cell stops and its row says `diverged`."""

    status = DIVERGED


class CrashedError(DimaError):
    """A simulator or the program of a checkout broke down: the same command continues, or begins again."""

    status = CRASHED


class LockedError(DimaError):
    """Another process runs this cell: try again later."""

    status = LOCKED


class StoppedError(DimaError):
    """Training was asked to stop and did, at a checkpoint: the same command continues bit for bit."""

    status = STOPPED
