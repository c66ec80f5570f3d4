import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hatcnn.errors import GalleryError
from hatcnn.gallery import Gallery, locking
from hatcnn.gallery.filters import Compare
from hatcnn.gallery.locking import locked
from hatcnn.gallery.sql import to_sql
from tests.gallery.people import crowd
from tests.paths import ROOT

LIMITED = """
import resource, sys
from hatcnn.errors import GalleryError
from hatcnn.gallery import Gallery
from tests.gallery.people import crowd
gallery = Gallery.open(sys.argv[1])
done = gallery.add(crowd(100, dimension=256)).added
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
people = crowd(9000, dimension=256, seed=2)
try:
    for at in range(0, 9000, 300):
        done += gallery.add(people[slice(at, at + 300)]).added
except GalleryError as error:
    print(error)
print(done)
"""


def write_until_it_fails(folder, *limit):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), *map(str, limit)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    message, acknowledged = done.stdout.splitlines()
    return message, int(acknowledged)


def test_a_full_disk_keeps_what_was_acknowledged(tmp_path):
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a small disk cannot be made here")
        try:
            message, acknowledged = write_until_it_fails(Path(folder) / "gallery")
            assert "the disk is full" in message
            # The log of searches needs room as well.
            gallery = Gallery.open(Path(folder) / "gallery", audit=tmp_path / "audit.jsonl")
            assert len(gallery) == acknowledged >= 400
            assert gallery.search(crowd(100, dimension=256).vectors[50])[0].score > 0.999
        finally:
            subprocess.run(["umount", folder], check=True)


def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(tmp_path):
    message, acknowledged = write_until_it_fails(tmp_path / "gallery", 120_000)
    assert "may not grow any larger; what was acknowledged is kept" in message
    gallery = Gallery.open(tmp_path / "gallery")
    assert len(gallery) == acknowledged == 100
    assert gallery.add(crowd(9000, dimension=256, seed=2)).added == 9000


@contextlib.contextmanager
def nobody():
    """Without the superuser's right to write everywhere."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_folder_that_may_only_be_read():
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "gallery"
        people = crowd(30)
        Gallery.open(folder).add(people)
        audit = Path(place) / "log" / "audit.jsonl"
        audit.parent.mkdir(mode=0o777)
        audit.parent.chmod(0o777)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with nobody():
                # Reading needs no right to write, but a place for the log.
                gallery = Gallery.open(folder, create=False)
                assert len(gallery) == 30
                with pytest.raises(GalleryError, match="cannot write the audit log"):
                    gallery.search(people.vectors[0])
                gallery = Gallery.open(folder, create=False, audit=audit)
                assert gallery.search(people.vectors[0])[0].entry.name == people.names[0]
                for change in (
                    lambda: gallery.add(crowd(3, seed=1)),
                    lambda: gallery.forget(where="hat or no hat"),
                    gallery.compact,
                ):
                    with pytest.raises(GalleryError, match="Permission denied; nothing was chang"):
                        change()
                with pytest.raises(GalleryError, match="cannot open the gallery"):
                    Gallery.open(folder / "people.lance" / "inner")
        finally:
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o777)
        assert len(Gallery.open(folder)) == 30


def test_a_gallery_that_another_process_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "PATIENCE_S", 0.2)
    gallery = Gallery.open(tmp_path / "gallery")
    gallery.add(crowd(5))
    with (tmp_path / "gallery" / ".lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for change in (lambda: gallery.add(crowd(9, seed=1)), gallery.compact):
            with pytest.raises(GalleryError, match="is locked: another process"):
                change()
        # Readers do not wait.
        assert len(gallery.search(crowd(5).vectors[0])) == 5
        fcntl.flock(other, fcntl.LOCK_SH)
        # Another that adds is no reason to wait; for removing files it is.
        assert gallery.add(crowd(9, seed=1)).added == 9
        with pytest.raises(GalleryError, match="is locked"):
            gallery.forget(where="hat or no hat")
    assert len(gallery) == 14


def test_the_lock_goes_with_its_holder(tmp_path):
    with locked(tmp_path, alone=True):
        pass
    with locked(tmp_path, alone=True, patience_s=0):
        pass


@pytest.mark.parametrize("files", ["data/*.lance", "_versions/*.manifest"])
@pytest.mark.parametrize("left", [0.5, None])
def test_a_damaged_gallery_says_so_and_is_left_alone(tmp_path, files, left):
    folder = tmp_path / "gallery"
    Gallery.open(folder).add(crowd(200))
    damaged = list((folder / "people.lance").glob(files))
    assert damaged
    for path in damaged:
        data = path.read_bytes()
        path.unlink()
        if left is not None:
            path.write_bytes(data[: int(len(data) * left)])

    def use(action):
        with pytest.raises(GalleryError, match="damaged"):
            action(Gallery.open(folder))

    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    use(lambda gallery: gallery.search(crowd(1).vectors[0]))
    use(lambda gallery: gallery.add(crowd(5, seed=3)))
    use(lambda gallery: gallery.forget(where="hat"))
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p: data for p, data in after.items() if p in before} == before


def test_what_is_no_gallery_is_not_made_one(tmp_path):
    with pytest.raises(GalleryError, match="no gallery at"):
        Gallery.open(tmp_path / "missing", create=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GalleryError, match=r"is no gallery: it holds notes\.txt"):
        Gallery.open(tmp_path)
    with pytest.raises(GalleryError, match="is a file"):
        Gallery.open(tmp_path / "notes.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_gallery_has_nothing_to_find(tmp_path):
    gallery = Gallery.open(tmp_path / "gallery")
    assert len(gallery) == 0
    assert gallery.model is None
    assert gallery.entries() == []
    assert gallery.stats().entries == 0
    assert gallery.forget(where="hat").ids == ()
    gallery.compact()
    with pytest.raises(GalleryError, match="is empty: add pictures first"):
        gallery.search(crowd(1).vectors[0])


def test_sql_has_no_way_out_of_its_quotes():
    sql = to_sql(Compare("camera", "=", "x' or '1'='1"))
    assert sql == "camera is not null and (camera = 'x'' or ''1''=''1')"
