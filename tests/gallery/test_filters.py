from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hatcnn.attributes import ATTRIBUTES, NAMES
from hatcnn.errors import FilterError
from hatcnn.gallery import Gallery
from hatcnn.gallery.descriptions import parse_description
from hatcnn.gallery.filters import And, Compare, Known, Not, OneOf, Or, parse_filter
from hatcnn.gallery.schema import colours_of
from hatcnn.gallery.words import COLOURS, PHRASES
from tests.gallery.people import People, crowd
from tests.oracles.filters import holds

AWKWARD = ["it's", '"quoted"', "a;drop table people", "--", "\\", "%_", "Zoë 王 🚶", "x' or '1'='1"]
BACKPACK = Compare("backpack", ">", 0.5)


def test_reads_what_people_write():
    assert parse_filter("backpack and upper = 'red' and camera != 3") == And(
        (BACKPACK, Compare("upper", "=", "red"), Compare("camera", "!=", "3"))
    )
    # "and" binds before "or", "not" before both.
    assert parse_filter("not backpack or no hat AND tag = x") == Or(
        (Not(BACKPACK), And((Compare("hat", "<=", 0.5), Compare("tags", "=", "x"))))
    )
    assert parse_filter("camera not in (1, 'b')") == Not(OneOf("camera", ("1", "b")))
    assert parse_filter("seen_at > '2026-01-01'") == Compare(
        "seen_at", ">", datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert parse_filter("time <= '2026-01-01 12:00+02:00'") == Compare(
        "seen_at", "<=", datetime(2026, 1, 1, 10, tzinfo=UTC)
    )
    assert parse_filter("Grey Trousers") == Compare("lower", "=", "gray")
    assert parse_filter("pid is unknown") == Not(Known("identity"))
    assert parse_filter("gender > 0.9 and name = 'it''s'") == And(
        (Compare("gender", ">", 0.9), Compare("name", "=", "it's"))
    )


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("backpack and camra = 3", 14, "did you mean 'camera'"),
        ("camera = 3; drop table people", 11, "';' has no meaning"),
        ("name = 'it's'", 13, "not closed"),
        ("name = 'open", 8, "not closed"),
        ("(backpack or hat", 17, "expected ')' for the '(' of column 1"),
        ("upper = purpel", 9, "did you mean 'purple'"),
        ("seen_at > yesterday", 11, "'yesterday' is no time"),
        ("backpack > 2", 12, "probability from 0 to 1"),
        ("camera < 3", 8, "= and != only"),
        ("camera", 7, "expected a comparison after 'camera'"),
        ("backpak", 1, "did you mean 'backpack'"),
        ("", 1, "expected a condition, found the end"),
        ("and backpack", 1, "expected a condition, found 'and'"),
        ("camera in ()", 12, "expected a value for camera"),
        ("camera = ", 10, "expected a value for camera"),
        ("(" * 60 + "hat" + ")" * 60, 51, "inside each other"),
    ],
)
def test_says_where_a_filter_goes_wrong(text, column, words):
    with pytest.raises(FilterError) as raised:
        parse_filter(text)
    message, shown, mark = str(raised.value).splitlines()
    assert message.startswith(f"filter, column {column}: ")
    assert words in message
    assert shown == f"    {text}"
    assert mark.index("^") == len("    ") + column - 1


def test_every_phrase_is_a_filter_and_a_description():
    for phrase, traits in PHRASES.items():
        assert parse_description(phrase) == traits
        parse_filter(phrase)


def test_every_attribute_has_words():
    for column, attribute in enumerate(ATTRIBUTES):
        said = [t for t in PHRASES[attribute.present] if t.column == column]
        assert [t.present for t in said] == [True]
        if attribute.absent:
            (trait,) = PHRASES[attribute.absent]
            assert (trait.column, trait.present) == (column, False)


def test_colours_leave_the_rest_to_other():
    chances = np.zeros((3, len(NAMES)), np.float32)
    chances[0, NAMES.index("upred")] = 0.6
    chances[1, NAMES.index("upred")] = 0.4
    chances[1, NAMES.index("upblack")] = 0.35
    assert colours_of(chances, "upper").tolist() == ["red", "red", "other"]


def _texts(column):
    return st.builds(
        Compare, st.just(column), st.sampled_from(["=", "!="]), st.sampled_from(VALUES)
    )


VALUES = [*AWKWARD, "1", "2"]
START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = [START + timedelta(hours=h, microseconds=h) for h in range(8)]
ORDERS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
# Probabilities that float32 holds exactly, and so compares like the oracle.
CHANCES = [i / 8 for i in range(9)]
LEAVES = st.one_of(
    *(_texts(column) for column in ("camera", "identity", "name", "tags")),
    st.builds(Compare, st.sampled_from(["upper", "lower"]), st.just("="), st.just("black")),
    st.builds(Compare, st.just("seen_at"), ORDERS, st.sampled_from(MOMENTS)),
    st.builds(Compare, st.sampled_from(NAMES), ORDERS, st.sampled_from(CHANCES)),
    st.builds(
        OneOf,
        st.sampled_from(["camera", "tags"]),
        st.lists(st.sampled_from(VALUES), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Known, st.sampled_from(["camera", "seen_at", "tags", "hat", "upper"])),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def written(condition):
    """A filter as text, fully in parentheses."""
    match condition:
        case Compare(column, symbol, value):
            return f"{column} {symbol} {quoted(value)}"
        case OneOf(column, values):
            return f"{column} in ({', '.join(map(quoted, values))})"
        case Known(column):
            return f"{column} is known"
        case Not(part):
            return f"not ({written(part)})"
        case And(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " or ".join(f"({written(part)})" for part in parts)


def quoted(value):
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'"
    return '"' + value.replace('"', '""') + '"'


@given(TREES)
def test_text_and_tree_say_the_same(condition):
    assert parse_filter(written(condition)) == condition


@given(st.text(max_size=40) | st.lists(st.sampled_from(
    ["and", "or", "not", "in", "is", "(", ")", "=", "hat", "camera", "'x'", ",", "3", "red"]
), max_size=8).map(" ".join))  # fmt: skip
def test_any_text_is_a_filter_or_a_clear_error(text):
    try:
        parse_filter(text)
    except FilterError as error:
        said = str(error)
    else:
        return
    assert "^" in said.splitlines()[-1]


class Mixed:
    """A gallery and its rows, too long to print."""

    def __init__(self, gallery, rows):
        self.gallery = gallery
        self.rows = rows


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A gallery in which everything is sometimes unknown, and its rows."""
    random = np.random.default_rng(1)
    gallery = Gallery.open(tmp_path_factory.mktemp("mixed") / "gallery")
    rows = []
    for part, known in enumerate((True, False)):
        people = crowd(60, seed=part)
        chances = random.choice(CHANCES, people.attributes.shape).astype(np.float32)
        people = People(people.vectors, chances if known else None, people.names)

        def some(values):
            chosen = random.integers(0, len(values) + 1, 60)
            return [values[i] if i < len(values) else None for i in chosen]

        columns = {
            "camera": some(VALUES),
            "identity": some(VALUES),
            "seen_at": some(MOMENTS),
            "tags": [[v for v in VALUES if random.random() < 0.2] for _ in range(60)],
        }
        ids = gallery.add(people, **columns).ids
        halves = {half: colours_of(chances, half) if known else [None] * 60 for half in COLOURS}
        for i in range(60):
            row = {name: values[i] for name, values in columns.items()}
            row |= {half: values[i] for half, values in halves.items()}
            row |= {name: float(chances[i, c]) if known else None for c, name in enumerate(NAMES)}
            rows.append(row | {"id": ids[i], "name": people.names[i]})
    return Mixed(gallery, rows)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(condition=TREES)
@example(Not(And((OneOf("camera", ("1",)), OneOf("camera", ("2",))))))
@example(Or((Not(OneOf("camera", ("1",))), Not(OneOf("camera", ("2",))))))
def test_the_store_keeps_what_the_oracle_keeps(mixed, condition):
    gallery, rows = mixed.gallery, mixed.rows
    found = {entry.id for entry in gallery.entries(where=written(condition), limit=1000)}
    assert found == {row["id"] for row in rows if holds(condition, row)}


def test_nothing_in_a_value_is_ever_sql(mixed):
    gallery, rows = mixed.gallery, mixed.rows
    for value in AWKWARD:
        expected = {row["id"] for row in rows if row["camera"] == value}
        found = {e.id for e in gallery.entries(where=f"camera = {quoted(value)}", limit=1000)}
        assert found == expected
        assert expected
    assert len(gallery) == len(rows)
