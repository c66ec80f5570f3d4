"""What a filter says of one entry, by walking the tree: True, False or None for unknown."""

import operator

from hatcnn.gallery.filters import And, Compare, Known, Not, OneOf, Or

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition, row):
    match condition:
        case Compare("tags", symbol, value):
            return (value in row["tags"]) == (symbol == "=")
        case Compare(column, symbol, value):
            found = row[column]
            return None if found is None else OPERATORS[symbol](found, value)
        case OneOf("tags", values):
            return any(value in row["tags"] for value in values)
        case OneOf(column, values):
            return None if row[column] is None else row[column] in values
        case Known("tags"):
            return bool(row["tags"])
        case Known(column):
            return row[column] is not None
        case Not(part):
            said = holds(part, row)
            return None if said is None else not said
        case And(parts):
            said = [holds(part, row) for part in parts]
            return False if False in said else None if None in said else True
        case Or(parts):
            said = [holds(part, row) for part in parts]
            return True if True in said else None if None in said else False
