"""Filters as the SQL that LanceDB reads: fixed column names, and literals made here.

No text of the user becomes SQL except inside a string literal, in which the only character with a
meaning, the quote, is doubled.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hatcnn.gallery.filters import And, Compare, Filter, Known, Not, OneOf, Or, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_sql(condition: Filter, *, negated: bool = False) -> str:
    """SQL that is true of the entries that pass, and false of all others.

    Negation is pushed down to single conditions, and each says itself that its column is known:
    what LanceDB makes of "not" around several conditions can let through entries of which nothing
    is known.

    Args:
        condition: to write.
        negated: write its opposite.
    """
    match condition:
        case Not(part):
            return to_sql(part, negated=not negated)
        case And(parts) | Or(parts):
            every = isinstance(condition, And) != negated
            written = [f"({to_sql(part, negated=negated)})" for part in parts]
            return (" and " if every else " or ").join(written) or ("true" if every else "false")
        case Compare("tags", operator, value):
            bears = f"array_has(tags, {literal(value)})"
            return bears if (operator == "=") != negated else f"not {bears}"
        case OneOf("tags", values):
            borne = Or(tuple(Compare("tags", "=", value) for value in values))
            return to_sql(borne, negated=negated)
        case Known("tags"):
            return "coalesce(array_length(tags), 0) = 0" if negated else "array_length(tags) > 0"
        case Known(column):
            return f"{column} is {'null' if negated else 'not null'}"
        case Compare(column, operator, value):
            single = f"{column} {operator} {literal(value)}"
        case OneOf(column, values):
            single = in_list(column, values)
    return f"{column} is not null and {'not ' if negated else ''}({single})"


def in_list(column: str, values: Iterable[Value]) -> str:
    """SQL for a column that is one of several values."""
    listed = ", ".join(map(literal, values))
    return f"{column} in ({listed})" if listed else "false"


def not_from(cameras: Iterable[str]) -> str:
    """SQL for entries from other cameras, or from an unknown one."""
    return f"(camera is null or not {in_list('camera', cameras)})"


def literal(value: Value) -> str:
    """A value as a SQL literal."""
    if isinstance(value, datetime):
        return f"to_timestamp_micros({(value - _EPOCH) // timedelta(microseconds=1)})"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(float(value))
