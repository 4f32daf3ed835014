"""A user's git checkout, read and copied but never written to."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from dima.errors import UserError

SECONDS = 60


class Repository:
    """The checkout of `name` in `folder`.

    Raises:
        UserError: the folder is not there, or not the top of a git checkout.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}, where a checkout of {name} should be.")
        top = self._git("rev-parse", "--show-toplevel")
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD")
        if top is None or head is None or Path(top).resolve() != folder.resolve():
            raise UserError(f"{folder} is not a git checkout of {name}.")
        self.commit = head

    def require(self, files: Iterable[str], commit: str) -> None:
        """Refuse a checkout without `files`, at another commit, or with changes. Raises UserError."""
        for file in files:
            if not self._git("ls-tree", "--name-only", "HEAD", "--", file):
                raise UserError(
                    f"{self.folder} has no {file}: it is no checkout of {self.name} that can be run."
                )
        if not self.commit.startswith(commit):
            wrong = f"{self.folder} is at commit {self.commit[:12]}, but the configuration asks for {commit}"
            raise UserError(f"{wrong}: check that one out, or configure the other.")
        changed = self._git("status", "--porcelain", "--untracked-files=no")
        if changed is None:
            raise UserError(f"git failed to list changed files in {self.folder}.")
        if changed:
            first = changed.splitlines()[0].split(maxsplit=1)[1]
            raise UserError(
                f"{first} in {self.folder} differs from commit {self.commit[:12]}: commit it and configure "
                "that commit."
            )

    def unpack(self, target: Path) -> None:
        """Write the tracked files of the commit to `target`, which must not exist. Raises UserError."""
        target.mkdir(parents=True)
        command = self._command("archive", "--format=tar", self.commit)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    archive.extractall(target, filter="data")
            except tarfile.TarError as error:
                raise UserError(f"The files of {self.folder} cannot be copied: {error}.") from error
        if process.returncode:
            raise UserError(
                f"The files of {self.folder} cannot be copied: git archive ended with status "
                f"{process.returncode}."
            )

    def _git(self, *arguments: str) -> str | None:
        """What git says, or None where it fails."""
        try:
            result = subprocess.run(
                self._command(*arguments),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=True,
                env=_environment(),
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return result.stdout.strip("\n")

    def _command(self, *arguments: str) -> list[str]:
        """git on this folder, whoever owns it, without the lock that even `status` takes for its cache."""
        return [
            "git",
            "--no-optional-locks",
            "-c",
            f"safe.directory={self.folder.resolve()}",
            "-C",
            str(self.folder),
            *arguments,
        ]


def _environment() -> dict[str, str]:
    """This process's environment without what would lead git to another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
