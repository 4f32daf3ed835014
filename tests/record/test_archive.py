"""Archives of records: equal bytes every time, and nothing believed of what may come from anybody."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from dima.errors import UserError
from dima.record.archive import archives_in, pack_cells, read_archive

CELL, OTHER = "push-mass/dima/seed-1", "push-mass/dima/seed-2"
START = {
    "commit": "abc",
    "dirty": False,
    "image": "none",
    "lock": "10cc",
    "hardware": "CPU, 2 cores, no GPU",
    "host": "node7",
}
PROVENANCE = json.dumps({"attempt": 1, "starts": [START], "finished": True}).encode()
CELLS = {
    OTHER: {"events.jsonl": b"\x00\xff no text\n" * 300, "summary.json": b"{}"},
    CELL: {
        "summary.json": b"{}",
        "config.json": b'{"digest": "c0ffee"}',
        "provenance.json": PROVENANCE,
        "studies/frames.npz": b"n" * 512,
    },
}


def test_what_was_packed_is_read_and_the_manifest_tells_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    path.write_bytes(pack_cells("trial", CELLS))
    assert read_archive(path, "trial") == ("trial", CELLS)
    with tarfile.open(
        path
    ) as tar:  # in the order of the cells, and as `tar -x` in a folder of results would put them
        members = tar.getmembers()
        manifest = json.loads(tar.extractfile(members[0]).read())  # type: ignore[union-attr]
    assert [member.name for member in members] == [
        "manifest.json",
        *(
            f"trial/cells/{CELL}/{name}"
            for name in ("config.json", "provenance.json", "summary.json", "studies/frames.npz")
        ),
        *(f"trial/cells/{OTHER}/{name}" for name in ("events.jsonl", "summary.json")),
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {
        (0, 0, 0, "", 0o644)
    }
    origin = {name: START[name] for name in ("commit", "dirty", "image", "lock", "hardware")}
    assert (manifest["format"], manifest["grid"]) == (2, "trial")
    assert (manifest["cells"][CELL]["config"], manifest["cells"][CELL]["starts"]) == ("c0ffee", [origin])
    assert manifest["cells"][CELL]["files"]["summary.json"] == {
        "size": 2,
        "sha256": hashlib.sha256(b"{}").hexdigest(),
    }
    assert (manifest["cells"][OTHER]["config"], manifest["cells"][OTHER]["starts"]) == (None, [])


def test_event_logs_are_stored_by_columns_and_archives_of_before_are_read(tmp_path: Path) -> None:
    log = b'{"seq":0,"kind":"columns"}\n[0,1,2.5]\n[0,2,3.5]\n'
    path = tmp_path / "a.tar.xz"
    path.write_bytes(pack_cells("trial", {CELL: {"events.jsonl": log}}))
    assert b"\n0,0\n1,2\n2.5,3.5" in lzma.decompress(path.read_bytes())
    assert read_archive(path, "trial").cells == {CELL: {"events.jsonl": log}}
    forged = Forged()
    forged.manifest["format"] = 1
    path.write_bytes(lzma.compress(forged.tar()))
    assert CELL in read_archive(path, "trial").cells


SCRIPT = """
import hashlib, os, sys
os.umask(int(sys.argv[1], 8))
from dima.record.archive import pack_cells
seeds = map(int, sys.argv[2:])
cells = {f"t/m/seed-{seed}": {"events.jsonl": b"e" * seed, "summary.json": b"{}"} for seed in seeds}
print(hashlib.sha256(pack_cells("trial", cells)).hexdigest())
"""


def test_equal_records_give_equal_bytes_in_any_process() -> None:
    settings = (
        ("022", "C", "0", "UTC", ("1", "2", "10")),
        ("077", "C.UTF-8", "1", "Asia/Tokyo", ("10", "2", "1")),
    )
    digests = set()
    for umask, locale, hashing, zone, seeds in settings:
        environment = os.environ | {"LC_ALL": locale, "PYTHONHASHSEED": hashing, "TZ": zone}
        command = [sys.executable, "-c", SCRIPT, umask, *seeds]
        digests.add(
            subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True, timeout=60
            ).stdout
        )
    assert len(digests) == 1


def test_archives_are_found_by_name_and_in_folders(tmp_path: Path) -> None:
    for name in ("trial.a.b.tar.xz", "trial.c.d.tar.xz", "other.a.b.tar.xz", "trial.txt"):
        (tmp_path / name).touch()
    found = [tmp_path / "trial.a.b.tar.xz", tmp_path / "trial.c.d.tar.xz"]
    assert archives_in([tmp_path, found[1]], "trial") == found
    with pytest.raises(UserError, match=r"There is no archive none\.<task>\.<method>\.tar\.xz in "):
        archives_in([tmp_path], "none")


class Forged:
    """An archive whose members and manifest can be changed before it is written."""

    def __init__(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(pack_cells("trial", CELLS)))) as tar:
            self.members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
        self.manifest: dict[str, Any] = json.loads(self.members[0][1])
        self.files = self.manifest["cells"][CELL]["files"]
        self.tar_format = tarfile.USTAR_FORMAT

    def add(
        self,
        name: str,
        content: bytes = b"",
        kind: bytes = tarfile.REGTYPE,
        at: int | None = None,
        **fields: Any,
    ) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, len(content)
        for field, value in fields.items():
            setattr(member, field, value)
        self.members.insert(len(self.members) if at is None else at, (member, content))

    def tar(self) -> bytes:
        content = self.members[0][1] if self.manifest is None else json.dumps(self.manifest).encode()
        self.members[0][0].size = len(content)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=self.tar_format) as tar:
            for member, data in [(self.members[0][0], content), *self.members[1:]]:
                tar.addfile(member, io.BytesIO(data))
        return buffer.getvalue()


def renamed(forged: Forged, name: str) -> None:
    """The manifest and the member agree on a name."""
    forged.files[name] = forged.files.pop("config.json")
    forged.members[1][0].name = f"trial/cells/{CELL}/{name}"


def of_another_cell(forged: Forged, cell: str) -> None:
    forged.manifest["cells"] = {cell: forged.manifest["cells"][CELL]}


def as_kind(forged: Forged, kind: bytes) -> None:
    member, _ = forged.members[1]
    member.type, member.linkname = kind, "../../../../secret"


def change(*path: Any, value: Any) -> Any:
    def apply(forged: Forged) -> None:
        place: Any = forged.manifest
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value

    return apply


BAD_NAMES = [
    "../../../escape",
    "/etc/passwd",
    "config.json/../../../x",
    "film.mp4",
    "checkpoint/content.json",
    "CONFIG.JSON",
    "",
    "a\nb",
]
BAD_CELLS = [
    "../../seed-1",
    "push-mass/dima/..",
    "/a/b/seed-1",
    "push-mass/dima/seed-01",
    "push-mass/dima/seed-1\n",
    "push-mass/dïma/seed-1",
]
HOSTILE: dict[str, Any] = {
    **{f"name {name!r}": (lambda forged, name=name: renamed(forged, name), "names ") for name in BAD_NAMES},
    **{
        f"cell {cell!r}": (lambda forged, cell=cell: of_another_cell(forged, cell), "has a manifest")
        for cell in BAD_CELLS
    },
    "symbolic link": (lambda forged: as_kind(forged, tarfile.SYMTYPE), "as something else than a file"),
    "hard link": (lambda forged: as_kind(forged, tarfile.LNKTYPE), "as something else than a file"),
    "device": (lambda forged: as_kind(forged, tarfile.CHRTYPE), "as something else than a file"),
    "pipe": (lambda forged: as_kind(forged, tarfile.FIFOTYPE), "as something else than a file"),
    "folder": (lambda forged: as_kind(forged, tarfile.DIRTYPE), "as something else than a file"),
    "sparse": (lambda forged: as_kind(forged, tarfile.GNUTYPE_SPARSE), "as something else than a file"),
    "extended header": (
        lambda forged: forged.add("x", b"20 path=/etc/passwd\n", b"x", at=1),
        "where trial/cells",
    ),
    "twice": (lambda forged: forged.members.insert(2, forged.members[1]), "where trial/cells"),
    "one more": (lambda forged: forged.add("../../escape", b"x"), "more than its manifest names"),
    "one less": (lambda forged: forged.members.pop(), "is no archive of records, or is damaged"),
    "other order": (
        lambda forged: forged.members.reverse() or forged.members.insert(0, forged.members.pop()),
        "where trial/cells",
    ),
    "no manifest": (
        lambda forged: setattr(forged.members[0][0], "name", "trial/cells/manifest.json"),
        "where manifest.json should be",
    ),
    "other content": (
        lambda forged: forged.members.__setitem__(1, (forged.members[1][0], b"!" * 20)),
        "with another content",
    ),
    "other digest": (
        change("cells", CELL, "files", "config.json", "sha256", value="0" * 64),
        "with another content",
    ),
    "no digest": (
        change("cells", CELL, "files", "config.json", "sha256", value="0"),
        "has a manifest that is not of format 2",
    ),
    "stored otherwise": (change("cells", CELL, "files", "config.json", "stored", value=3), "of another size"),
    "stored by no columns": (
        lambda forged: forged.files["config.json"].update(stored=len(forged.members[1][1])),
        "holds trial/cells/push-mass/dima/seed-1/config.json with another content",
    ),
    "smaller size": (change("cells", CELL, "files", "config.json", "size", value=3), "of another size"),
    "negative size": (change("cells", CELL, "files", "config.json", "size", value=-1), "has a manifest"),
    "huge size": (change("cells", CELL, "files", "config.json", "size", value=1 << 40), "has a manifest"),
    "huge sizes": (
        lambda forged: [file.update(size=1 << 27) for file in forged.files.values()],
        "holds more than 268,435,456 bytes",
    ),
    "more keys": (change("cells", CELL, "more", value=1), "has a manifest that is not of format 2"),
    "cells of a list": (change("cells", value=[]), "has a manifest that is not of format 2"),
    "another version": (change("format", value=3), "is of format 3, and this version reads formats 1 and 2"),
    "no version": (change("format", value=None), "is of format None, and this version"),
    "another grid": (change("grid", value="quick"), "holds records of grid quick, not of trial"),
}


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_archive(path, "trial")
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "attack", HOSTILE, ids=lambda name: name.encode("ascii", "backslashreplace").decode()
)
def test_what_no_packing_makes_is_refused_in_one_sentence(tmp_path: Path, attack: str) -> None:
    forge, words = HOSTILE[attack]
    forged = Forged()
    forge(forged)
    assert words in refused(tmp_path / "a.tar.xz", lzma.compress(forged.tar()))


def test_a_name_that_is_no_text_and_a_manifest_that_is_none_are_refused(tmp_path: Path) -> None:
    tar = bytearray(Forged().tar())
    for place, words in ((0, "is no archive of records"), (tarfile.BLOCKSIZE, "is of format None")):
        changed = tar.copy()
        changed[place] = 0xFF
        if place == 0:  # the header's checksum is right
            changed[148:156] = b"%06o\0 " % tarfile.calc_chksums(changed[:512])[0]
        assert words in refused(tmp_path / "a.tar.xz", lzma.compress(bytes(changed)))


def test_an_archive_that_is_cut_or_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    whole = pack_cells("trial", CELLS)
    for cut in (*range(0, len(whole), 9), len(whole) - 1):
        refused(tmp_path / "a.tar.xz", whole[:cut])
    for place in range(0, len(whole), 19):
        refused(tmp_path / "a.tar.xz", whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    assert "continues after its end" in refused(tmp_path / "a.tar.xz", whole + b"x")
    assert "continues after its end" in refused(tmp_path / "a.tar.xz", whole * 2)
    tar = lzma.decompress(whole)
    end = tar.rstrip(b"\0")
    for cut in (0, 511, 512, 700, len(end) - 600):  # whole as a compressed file, cut within
        refused(tmp_path / "a.tar.xz", lzma.compress(tar[:cut]))


def test_a_bomb_takes_no_more_memory_than_what_it_may_hold(tmp_path: Path) -> None:
    """A quarter of a gigabyte of zeros after the last member, and a manifest that claims one."""
    compressor = lzma.LZMACompressor(preset=0)
    zeros = bytes(1 << 20)
    after = (
        compressor.compress(Forged().tar())
        + b"".join(compressor.compress(zeros) for _ in range(256))
        + compressor.flush()
    )
    header = tarfile.TarInfo("manifest.json")
    header.size = 1 << 40
    claimed = lzma.compress(header.tobuf(tarfile.GNU_FORMAT))
    tracemalloc.start()
    assert "a manifest that is too large" in refused(tmp_path / "a.tar.xz", claimed)
    assert "holds more than its manifest names" in refused(tmp_path / "a.tar.xz", after)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
    dictionary = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}]  # more memory than packing ever asks for
    assert "is no archive" in refused(
        tmp_path / "a.tar.xz", lzma.compress(Forged().tar(), filters=dictionary)
    )


def test_a_folder_and_nothing_are_no_archives(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.tar.xz"):
        with pytest.raises(UserError, match="There is no archive "):
            read_archive(path, "trial")
