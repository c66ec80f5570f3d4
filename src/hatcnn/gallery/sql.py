"""Filters as the SQL that LanceDB reads: fixed column names, and literals made here.

No text of the user becomes SQL except inside a string literal, in which the only character with a
meaning, the quote, is doubled.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hatcnn.gallery.filters import And, Compare, Filter, Known, Not, OneOf, Or, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_sql(condition: Filter) -> str:
    """SQL that is true of the entries that pass, and false or null of the others."""
    match condition:
        case Compare("tags", operator, value):
            bears = f"array_has(tags, {literal(value)})"
            return bears if operator == "=" else f"not {bears}"
        case Compare(column, operator, value):
            return f"{column} {operator} {literal(value)}"
        case OneOf("tags", values):
            return to_sql(Or(tuple(Compare("tags", "=", value) for value in values)))
        case OneOf(column, values):
            return in_list(column, values)
        case Known("tags"):
            return "array_length(tags) > 0"
        case Known(column):
            return f"{column} is not null"
        case Not(Known("tags")):
            return "coalesce(array_length(tags), 0) = 0"
        case Not(part):
            return f"not ({to_sql(part)})"
        case And(parts):
            return " and ".join(f"({to_sql(part)})" for part in parts) or "true"
        case Or(parts):
            return " or ".join(f"({to_sql(part)})" for part in parts) or "false"


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
