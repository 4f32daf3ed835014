"""Errors whose message is one sentence for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: the message names the thing and the choices; the process exits with status 2."""


class DivergedError(Exception):
    """Training produced a number that is not finite: the cell stops with exit status 3 and its row says `diverged`."""


class CrashedError(Exception):
    """A simulator or the program of a checkout broke down: the cell stops with exit status 5; the same command goes on, or begins again."""


class LockedError(Exception):
    """Another process runs this cell; exit status 75 (try again later)."""


class StoppedError(Exception):
    """Training was asked to stop and did, at a checkpoint; exit status 99: the same command continues bit for bit."""
