"""What the gallery keeps of a picture: the columns, and how entries become rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hatcnn.attributes import NAMES, NUM_ATTRIBUTES
from hatcnn.errors import GalleryError
from hatcnn.gallery.filters import parse_time
from hatcnn.gallery.words import COLOURS, OTHER

Floats: TypeAlias = npt.NDArray[np.float32]
Precision = Literal["float16", "float32"]
Time: TypeAlias = str | float | datetime
PerPicture: TypeAlias = Any
"""One value for all pictures, or a sequence with one a picture, in which none is unknown."""

FORMAT = "1"
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key:position": "1"}
"""By it LanceDB tells that two writers are adding one entry, and lets one of them begin again."""
DESCRIPTION = ["id", "name", "camera", "seen_at", "added_at", "identity", "tracklet", "tags"]
"""Columns that say what an entry is, without its vector, attributes and thumbnail."""


def table_schema(dimension: int, precision: Precision, model: str | None) -> pa.Schema:
    """Columns of a gallery.

    Args:
        dimension: numbers of a vector.
        precision: in which they are stored.
        model: fingerprint of the network that makes them, kept with the table.
    """
    number = pa.float16() if precision == "float16" else pa.float32()
    moment = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("vector", pa.list_(number, dimension), nullable=False),
            pa.field("name", pa.string()),
            pa.field("camera", pa.string()),
            pa.field("seen_at", moment),
            pa.field("added_at", moment, nullable=False),
            pa.field("identity", pa.string()),
            pa.field("tracklet", pa.string()),
            pa.field("tags", pa.list_(pa.string()), nullable=False),
            *(pa.field(half, pa.string()) for half in COLOURS),
            *(pa.field(name, pa.float32()) for name in NAMES),
            pa.field("thumbnail", pa.binary()),
        ],
        metadata={"hatcnn.format": FORMAT, "hatcnn.model": model or ""},
    )


def unit_vectors(vectors: npt.ArrayLike, *, what: str) -> Floats:
    """(n, d) float32 of length 1.

    Raises:
        GalleryError: when they are not (n, d) numbers, one is not finite, or one has no direction.
    """
    try:
        found = np.atleast_2d(np.asarray(vectors, np.float32))
    except (TypeError, ValueError):
        raise GalleryError(f"{what}: expected vectors as (n, d) numbers") from None
    if found.ndim != 2 or not found.shape[1]:
        raise GalleryError(f"{what}: expected (n, d) numbers, got the shape {found.shape}")
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise GalleryError(
            f"{what}: vector {row} of {len(found)} holds NaN or infinity; nothing was done"
        )
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not (lengths > 1e-6).all():
        row = int(np.flatnonzero(lengths[:, 0] <= 1e-6)[0])
        raise GalleryError(f"{what}: vector {row} of {len(found)} is zero; nothing was done")
    return np.asarray(found / lengths, np.float32)


def entry_ids(vectors: npt.NDArray[Any], pictures: Sequence[bytes | None]) -> list[str]:
    """32 hexadecimal digits an entry, of its picture's bytes or, without them, of its vector.

    The picture comes first because another back end, or another batch, moves the last bits of a
    vector: the same picture stays the same entry.
    """
    return [
        hashlib.blake2b(
            vector.tobytes() if picture is None else picture,
            digest_size=16,
            person=b"vector" if picture is None else b"picture",
        ).hexdigest()
        for vector, picture in zip(vectors, pictures, strict=True)
    ]


def colours_of(probabilities: Floats, half: str) -> npt.NDArray[Any]:
    """The likeliest colour of a half of the body for each of (n, 26) probabilities.

    What the labelled colours leave of 1 belongs to `OTHER`.
    """
    columns = list(COLOURS[half].values())
    chances = probabilities[:, columns]
    other = 1 - chances.sum(axis=1, keepdims=True)
    names = np.array([*COLOURS[half], OTHER])
    return names[np.concatenate([chances, other], axis=1).argmax(axis=1)]


def rows_of(
    schema: pa.Schema,
    ids: Sequence[str],
    vectors: npt.NDArray[Any],
    attributes: Floats | None,
    columns: dict[str, Sequence[Any]],
) -> pa.Table:
    """Rows for the gallery's table.

    Args:
        schema: of the table.
        ids, vectors, attributes: n of each; vectors in the table's precision.
        columns: n values for some of the other columns; the rest are unknown.
    """
    n = len(ids)
    vector_type = schema.field("vector").type
    arrays: dict[str, pa.Array] = {
        "id": pa.array(ids, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.ravel(), vector_type.value_type), vector_type.list_size
        ),
        "added_at": pa.array([datetime.now(UTC)] * n, schema.field("added_at").type),
    }
    if attributes is not None:
        for half in COLOURS:
            arrays[half] = pa.array(colours_of(attributes, half), pa.string())
        for column, name in enumerate(NAMES):
            arrays[name] = pa.array(attributes[:, column], pa.float32())
    for field in schema:
        if field.name in columns:
            arrays[field.name] = pa.array(columns[field.name], field.type)
        elif field.name not in arrays:
            arrays[field.name] = pa.nulls(n, field.type)
    return pa.table([arrays[field.name] for field in schema], schema=schema)


def checked_attributes(attributes: npt.ArrayLike | None, n: int) -> Floats | None:
    """(n, 26) probabilities.

    Raises:
        GalleryError: when they have another shape or leave [0, 1].
    """
    if attributes is None:
        return None
    found = np.asarray(attributes, np.float32)
    if found.shape != (n, NUM_ATTRIBUTES):
        raise GalleryError(
            f"attributes: expected the shape ({n}, {NUM_ATTRIBUTES}), got {found.shape}"
        )
    if not ((found >= 0) & (found <= 1)).all():
        raise GalleryError("attributes: expected probabilities from 0 to 1")
    return found


def one_each(value: PerPicture, n: int, what: str) -> list[Any]:
    """A list with one value a picture.

    Raises:
        GalleryError: when a sequence has another length, or one picture file stands for several.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * n
    values = [value] if isinstance(value, bytes) else list(value)
    if len(values) != n:
        raise GalleryError(f"{what}: expected {n} values, one a picture, got {len(values)}")
    return values


def texts(values: Iterable[Any]) -> list[str | None]:
    """Names of cameras, identities and the like as text; what is empty is unknown."""
    return [None if v is None or str(v) == "" else str(v) for v in values]


def times(values: Iterable[Time | None], what: str) -> list[datetime | None]:
    """Moments in UTC, from `datetime`, ISO 8601 text or seconds since 1970.

    Raises:
        GalleryError: for text that is no time.
    """
    return [None if value is None or value == "" else moment(value, what) for value in values]


def moment(value: Time, what: str) -> datetime:
    """One moment in UTC; see `times`."""
    try:
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        if isinstance(value, str):
            return parse_time(value)
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise GalleryError(
            f"{what}: {value!r} is no time; expected such as '2026-01-31 17:05' (UTC) "
            "or seconds since 1970"
        ) from None


def tag_lists(value: PerPicture, n: int) -> list[list[str]]:
    """Tags of every picture: one text or list of texts for all, or a list a picture.

    Raises:
        GalleryError: when there are neither n lists nor only texts.
    """
    if value is None or isinstance(value, str):
        return [[value] if value else []] * n
    values = list(value)
    if all(isinstance(v, str) for v in values):
        return [sorted(set(values))] * n
    return [sorted(set(map(str, v or ()))) for v in one_each(values, n, "tags")]
