import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatcnn.attributes import NAMES, UNKNOWN, column
from hatcnn.datasets import DISTRACTOR, open_dataset
from hatcnn.datasets.manifest import write_dataset
from hatcnn.datasets.records import Record, dataset_of
from hatcnn.datasets.stores import FolderStore
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.errors import ConfigError, DataError
from tests.pictures import encoded


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded())


def test_a_folder_an_identity(tmp_path):
    put(tmp_path, *(f"{who}/{i}.jpg" for who in ("anna", "bo", "cy", "di") for i in range(3)))
    put(tmp_path, "anna/notes.txt")
    data = open_dataset(tmp_path)
    assert len(data.train) == 6
    assert len(data.query) == 2
    assert len(data.gallery) == 4
    assert sorted(data.identity_names.values()) == ["anna", "bo", "cy", "di"]
    cameras = [*data.query.camids, *data.gallery.camids, *data.train.camids]
    assert len(set(cameras)) == 12, "unknown cameras: each picture its own"


def test_folders_with_splits(tmp_path):
    put(tmp_path, "train/1/a.png", "train/2/a.png", "query/9/a.png", "gallery/9/b.png")
    put(tmp_path, "gallery/distractor/c.png", "gallery/junk/d.png")
    data = open_dataset(tmp_path)
    assert data.train.pids.tolist() == [1, 2]
    assert data.query.pids.tolist() == [9]
    assert sorted(data.gallery.pids.tolist()) == [DISTRACTOR, 9]
    assert data.left_out == {"junk": 1}


def test_only_what_says_nobody_is_nobody(tmp_path):
    put(tmp_path, *(f"{who}/{i}.jpg" for who in ("000", "001", "002", "0") for i in range(2)))
    data = open_dataset(tmp_path)
    everyone = [*data.train.pids, *data.query.pids, *data.gallery.pids]
    assert everyone.count(DISTRACTOR) == 2, "those of folder 0"
    assert sorted(data.identity_names.values()) == ["000", "001", "002"]


def test_a_pattern_with_named_groups(tmp_path):
    names = [f"day1/p{p:02d}-cam{c}-{i}.jpg" for p in (3, 11) for c in (2, 10) for i in (0, 1)]
    put(tmp_path, *names, "day1/overview.jpg")
    data = open_dataset(tmp_path, pattern=r"p(?P<pid>\d+)-cam(?P<camid>\d+)")
    assert {*data.train.pids, *data.query.pids} == {3, 11}
    assert {*data.train.camids} == {2, 10}
    assert data.left_out == {"not matched by the pattern": 1}
    from_zero = open_dataset(tmp_path, pattern=r"(?P<pid>p\d+)-cam\d+-(?P<camid>\d)")
    assert {*from_zero.train.camids} == {0, 1}
    with pytest.raises(ConfigError, match=r"no group \(\?P<pid>"):
        open_dataset(tmp_path, pattern=r"p(\d+)")
    with pytest.raises(ConfigError, match="no regular expression"):
        open_dataset(tmp_path, pattern="(")
    with pytest.raises(DataError, match="matches none of 9 pictures"):
        open_dataset(tmp_path, pattern="x(?P<pid>.)")


def test_pictures_outside_identity_folders_are_refused(tmp_path):
    put(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="not in a folder of one identity"):
        open_dataset(tmp_path)


ROWS = [
    {"path": "a.png", "pid": "7", "camid": "north", "split": "train", "hat": "1", "upred": ""},
    {"path": "b.png", "pid": "8", "camid": "south", "split": "query", "hat": "0", "upred": "1"},
    {"path": "c.png", "pid": "8", "camid": "north", "split": "gallery", "hat": "", "upred": "1"},
]


def csv_text(rows):
    return "\n".join([",".join(rows[0]), *(",".join(r.values()) for r in rows)]) + "\n"


def as_parquet(rows, path):
    typed = [{k: (int(v) if v.isdigit() else v or None) for k, v in r.items()} for r in rows]
    pq.write_table(pa.Table.from_pylist(typed), path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_manifest(tmp_path, kind):
    put(tmp_path, "a.png", "b.png", "c.png")
    path = tmp_path / f"manifest.{kind}"
    if kind == "csv":
        path.write_text(csv_text(ROWS))
    else:
        as_parquet(ROWS, path)
    for root in (path, tmp_path):
        data = open_dataset(root)
        assert data.train.pids.tolist() == [7]
        assert (data.query.camids.tolist(), data.gallery.camids.tolist()) == ([2], [1])
        assert data.train.attributes[0, column("hat")] == 1
        assert data.train.attributes[0, column("upred")] == UNKNOWN
        assert data.query.attributes[0, column("hat")] == 0
        assert data.train.attributes[0, column("backpack")] == UNKNOWN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,person\na.png,1\n", "no column 'pid'; its columns are path, person"),
        ("path,pid\na.png,1\nb.png,1\na.png,2\n", "row 4: a.png is already in row 2"),
        ("path,pid,hat\na.png,1,maybe\n", "row 2: hat is 'maybe', expected 0, 1 or nothing"),
        ("path,pid\na.png,\n", "row 2: pid is empty"),
        ("path,pid,split\na.png,1,tset\n", "did you mean 'test'"),
        ("path,pid,split\na.png,1,train\nb.png,1,\n", "b.png has no split but others have"),
        ("path,pid\n", "lists no pictures"),
    ],
)
def test_bad_manifests_are_named_with_the_row(tmp_path, text, words):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path / "m.csv")


def test_broken_manifests(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DataError, match="no CSV table"):
        open_dataset(tmp_path / "m.csv")
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no Parquet table"):
        open_dataset(tmp_path / "m.parquet")


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(1, 3))),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_every_query_has_a_match_by_another_camera(rows):
    records = [
        Record(f"{i:03d}.png", str(pid), None if camera is None else str(camera), split="test")
        for i, (pid, camera) in enumerate(rows)
    ]
    data = dataset_of("own", FolderStore("."), records)
    assert sorted(data.query.names + data.gallery.names) == [r.path for r in records]
    for query in data.query:
        assert query.pid != DISTRACTOR
        matches = (data.gallery.pids == query.pid) & (data.gallery.camids != query.camid)
        assert matches.any()


def test_any_data_set_survives_being_written(tmp_path):
    before = synthetic_people(
        num_train_identities=3, num_test_identities=2, num_distractors=2, pictures_per_camera=2
    )
    after = open_dataset(write_dataset(before, tmp_path / "copy"))
    for split, one in before.splits().items():
        other = after.splits()[split]
        order = np.argsort(one.names)
        assert tuple(one.names[i] for i in order) == other.names
        np.testing.assert_array_equal(one.pids[order], other.pids)
        np.testing.assert_array_equal(one.camids[order], other.camids)
        np.testing.assert_array_equal(one.attributes[order], other.attributes)
        assert before.store.read(one.names[0]) == after.store.read(one.names[0])
    assert len(NAMES) == 26
