"""Filters in readable text, such as ``backpack and upper = 'red' and camera != 3``.

    filter      condition (and | or) condition ..., with "not" and parentheses; "and" binds first
    condition   field = value, also != < <= > >=
                field in (value, value, ...), field not in (...)
                field is known, field is unknown
                words for what a person wears: backpack, no hat, long hair, red top

Fields are `FIELDS`, ``upper`` and ``lower`` (the colour of that half of the body), and the
attributes' names (a probability). A value is text in quotes, which are doubled inside it, a number
or a single word.

An entry passes a filter that is known to be true of it. Of what nobody recorded, neither a
condition nor its opposite is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NoReturn, TypeAlias

from hatcnn.attributes import NAMES
from hatcnn.errors import FilterError, nearest_names
from hatcnn.gallery.words import COLOURS, OTHER, PHRASES, Trait, normalised

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Value: TypeAlias = str | float | datetime

FIELDS: dict[str, str] = {
    "id": "id",
    "camera": "camera",
    "camid": "camera",
    "seen_at": "seen_at",
    "time": "seen_at",
    "added_at": "added_at",
    "name": "name",
    "source": "name",
    "identity": "identity",
    "pid": "identity",
    "tracklet": "tracklet",
    "tag": "tags",
    "tags": "tags",
    "upper": "upper",
    "lower": "lower",
}
"""Names of fields in filters, and the columns they mean."""

_TIMES = ("seen_at", "added_at")
PRESENT_ABOVE = 0.5
"""Probability above which an attribute counts as present."""
MAX_LENGTH = 10_000
"""Characters of a filter."""
MAX_DEPTH = 50
"""Parentheses and nots inside each other."""


@dataclass(frozen=True, slots=True)
class Compare:
    """A column beside a value. On ``tags``, ``=`` says that the entry bears the tag."""

    column: str
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column that is one of several values."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A column that has a value at all."""

    column: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of several filters; without any, every entry."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of several filters."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Compare | OneOf | Known | Not | And | Or


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: with the place in the text and what was expected there.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter of {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    return _Parser(text).parse()


def trait_filter(trait: Trait) -> Compare:
    """The filter that an attribute, or its absence, stands for."""
    for half, colours in COLOURS.items():
        for colour, column in colours.items():
            if column == trait.column:
                return Compare(half, "=", colour)
    return Compare(NAMES[trait.column], ">" if trait.present else "<=", PRESENT_ABOVE)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["word", "number", "text", "symbol", "end"]
    text: str
    start: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w-]))
    |(?P<word>[\w][\w-]*)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<symbol><=|>=|!=|<>|==|[=<>(),])
    """,
    re.VERBOSE,
)
_KEYWORDS = ("and", "or", "not", "in", "is")
_OPERATORS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip


class _Parser:
    """Recursive descent over the tokens; one method a rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    def parse(self) -> Filter:
        found = self._or()
        if self._next.kind != "end":
            self._fail(f"expected 'and', 'or' or the end, found {self._next.text!r}")
        return found

    def _or(self) -> Filter:
        parts = [self._and()]
        while self._took_word("or"):
            parts.append(self._and())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _and(self) -> Filter:
        parts = [self._not()]
        while self._took_word("and"):
            parts.append(self._not())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _not(self) -> Filter:
        start = self._next
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail("more than 50 parentheses and nots inside each other")
        if self._took_word("not"):
            found: Filter = Not(self._not())
        elif self._took_symbol("("):
            found = self._or()
            if not self._took_symbol(")"):
                self._fail(f"expected ')' for the '(' of column {start.start + 1}")
        else:
            found = self._condition()
        self.depth -= 1
        return found

    def _condition(self) -> Filter:
        start = self._next
        if start.kind != "word" or start.text.lower() in _KEYWORDS:
            found = "the end" if start.kind == "end" else repr(start.text)
            self._fail(f"expected a condition, found {found}")
        words = [self._take()]
        while self._next.kind == "word" and self._next.text.lower() not in _KEYWORDS:
            words.append(self._take())
        following = self._next
        if following.kind == "symbol" and following.text in _OPERATORS:
            return self._comparison(self._column(words))
        if following.kind == "word" and following.text.lower() in ("in", "is", "not"):
            return self._membership(self._column(words))
        phrase = normalised(" ".join(word.text for word in words))
        if phrase not in PHRASES:
            if len(words) == 1 and (phrase in FIELDS or phrase in NAMES):
                self._fail(f"expected a comparison after {phrase!r}, such as {phrase} = …")
            known = nearest_names(phrase, [*PHRASES, *FIELDS])
            self._fail(f"unknown condition {phrase!r}{_shortened(known)}", start)
        traits = tuple(trait_filter(trait) for trait in PHRASES[phrase])
        return And(traits) if len(traits) > 1 else traits[0]

    def _column(self, words: Sequence[_Token]) -> str:
        name = " ".join(word.text for word in words).lower()
        if name not in FIELDS and name not in NAMES:
            self._fail(f"unknown field {name!r}{nearest_names(name, [*FIELDS, *NAMES])}", words[0])
        return FIELDS.get(name, name)

    def _comparison(self, column: str) -> Filter:
        symbol = self._take()
        operator = _OPERATORS[symbol.text]
        if operator not in ("=", "!=") and column not in (*_TIMES, *NAMES):
            self._fail(f"{column} can be compared with = and != only", symbol)
        return Compare(column, operator, self._value(column))

    def _membership(self, column: str) -> Filter:
        if self._took_word("is"):
            word = self._take().text.lower()
            if word not in ("known", "unknown"):
                self.at -= 1
                self._fail("expected 'known' or 'unknown' after 'is'")
            return Known(column) if word == "known" else Not(Known(column))
        negated = self._took_word("not")
        if not self._took_word("in"):
            self._fail("expected 'in'")
        if not self._took_symbol("("):
            self._fail("expected '(' after 'in'")
        values = [self._value(column)]
        while self._took_symbol(","):
            values.append(self._value(column))
        if not self._took_symbol(")"):
            self._fail("expected ',' or ')'")
        found = OneOf(column, tuple(values))
        return Not(found) if negated else found

    def _value(self, column: str) -> Value:
        token = self._next
        if token.kind not in ("text", "number", "word") or (
            token.kind == "word" and token.text.lower() in _KEYWORDS
        ):
            self._fail(f"expected a value for {column}: 'text in quotes', a number or a word")
        self._take()
        text = token.text
        if token.kind == "text":
            quote = text[0]
            text = text[1:-1].replace(2 * quote, quote)
        if column in NAMES:
            return self._probability(text, token)
        if column in _TIMES:
            try:
                return parse_time(text)
            except ValueError:
                self._fail(
                    f"{text!r} is no time; expected such as '2026-01-31' or '2026-01-31 17:05'",
                    token,
                )
        if column in COLOURS:
            colour = normalised(text)
            known = [*COLOURS[column], OTHER]
            if colour not in known:
                self._fail(f"unknown colour {text!r} of {column}{nearest_names(colour, known)}",
                           token)  # fmt: skip
            return colour
        return text

    def _probability(self, text: str, token: _Token) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            self._fail("an attribute is compared with a probability from 0 to 1", token)
        return value

    def _tokens(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                unclosed = self.text[at] in "'\""
                self._fail(
                    "this quote is not closed"
                    if unclosed
                    else f"{self.text[at]!r} has no meaning here; text goes into quotes",
                    _Token("symbol", self.text[at], at),
                )
            if match.lastgroup != "space":
                yield _Token(match.lastgroup, match.group(), at)  # type: ignore[arg-type]
            at = match.end()
        yield _Token("end", "", len(self.text))

    @property
    def _next(self) -> _Token:
        return self.tokens[self.at]

    def _take(self) -> _Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _took_word(self, word: str) -> bool:
        found = self._next.kind == "word" and self._next.text.lower() == word
        self.at += found
        return found

    def _took_symbol(self, symbol: str) -> bool:
        found = self._next.kind == "symbol" and self._next.text == symbol
        self.at += found
        return found

    def _fail(self, reason: str, token: _Token | None = None) -> NoReturn:
        start = (token or self._next).start
        # Line breaks and tabs would move the mark away from its place.
        shown = re.sub(r"\s", " ", self.text)
        raise FilterError(f"filter, column {start + 1}: {reason}\n    {shown}\n    {' ' * start}^")


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time; one without a zone is in UTC.

    Raises:
        ValueError: when it is none.
    """
    found = datetime.fromisoformat(text.strip())
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _shortened(known: str) -> str:
    """The whole vocabulary would bury the message."""
    return known if known.startswith("; did") else "; words: backpack, no hat, red top, …"
