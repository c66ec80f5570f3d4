"""What goes over the wire, with a word on every field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hatcnn.attributes import NAMES

Text = Annotated[str, Field(max_length=200)]
EntryId = Annotated[str, Field(pattern="^[0-9a-fA-F]{4,32}$", examples=["5f3a9c0d1e2b"])]
Where = Annotated[
    str | None,
    Field(
        max_length=10_000,
        description="A filter, such as backpack and upper = 'red' and camera != 3.",
        examples=["backpack and upper = 'red'"],
    ),
]
FalseMatchRate = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        description="Only matches as alike as so large a share of pairs of different people is; "
        "needs a calibration, whose rates the model's card lists.",
        examples=[0.001],
    ),
]
TopK = Annotated[int, Field(ge=1, le=1000, description="Matches of this page.")]
Offset = Annotated[int, Field(ge=0, le=1_000_000, description="Matches before this page.")]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text must not hold the character NUL")
    return text


Words = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_without_nul)]


class Model(BaseModel):
    """Unknown fields are refused, so that a mistyped one is noticed."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Every error."""

    code: str = Field(description="What went wrong, for programs.", examples=["too_large"])
    message: str = Field(description="What went wrong and what to do, for people.")
    request_id: str = Field(description="By which the server's log knows this request.")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"
    version: str = Field(description="Of hatcnn.")


class Readiness(BaseModel):
    """The server can do its work."""

    status: Literal["ready"] = "ready"
    read_only: bool = Field(description="Whether the gallery may only be searched.")


class ErrorRates(BaseModel):
    """What a threshold lets through, as measured."""

    threshold: float = Field(description="Similarity, -1 to 1.")
    false_match_rate: float = Field(description="Share of pairs of different people above it.")
    true_match_rate: float = Field(description="Share of pairs of one person above it.")


class CalibrationCard(BaseModel):
    """What similarities of this network mean."""

    data: str = Field(description="Pictures that it was measured on, in words.")
    same_pairs: int = Field(description="Of one person by two cameras.")
    different_pairs: int = Field(description="Of different people by two cameras.")
    rates: list[ErrorRates] = Field(description="From many false matches to few.")


class ModelCard(BaseModel):
    """The network behind the vectors."""

    name: str | None = Field(description="By which it was loaded.")
    fingerprint: str | None = Field(description="Vectors of other fingerprints do not compare.")
    dimension: int = Field(description="Numbers of a vector.")
    height: int = Field(description="Pixels that the network sees; other sizes are resized.")
    width: int
    attributes: list[str] = Field(description="Names, in the order of attribute arrays.")
    card: str | None = Field(description="Data, terms, measured numbers; Markdown.")
    calibration: CalibrationCard | None = Field(
        description="Null where the model has none: there are no probabilities then."
    )


class Option(BaseModel):
    """One way to be."""

    words: str
    where: str = Field(description="The filter that says so.", examples=["upper = 'red'"])


class Choice(BaseModel):
    """Something that people differ in."""

    name: str = Field(examples=["upper body"])
    options: list[Option]


class Vocabulary(BaseModel):
    """What can be filtered by of what people wear."""

    choices: list[Choice] = Field(description="Empty where the network predicts no attributes.")


class Skipped(BaseModel):
    """A picture that could not be read."""

    name: str
    reason: str


class PictureAttributes(BaseModel):
    """What a person wears."""

    name: str = Field(description="Of the file, without folders.")
    attributes: dict[str, float] | None = Field(
        description="Probability of each; none where the network predicts none.",
        examples=[{NAMES[0]: 0.93}],
    )


class PictureEmbedding(PictureAttributes):
    """A person's vector."""

    vector: list[float] | str = Field(
        description="Of length 1, so that inner products are similarities: numbers, or Base64 of "
        "little-endian float32."
    )


class Embedded(BaseModel):
    """Answer of embed, in the pictures' order."""

    fingerprint: str | None = Field(description="Of the network.")
    pictures: list[PictureEmbedding]
    skipped: list[Skipped]


class Described(BaseModel):
    """Answer of attributes, in the pictures' order."""

    pictures: list[PictureAttributes]
    skipped: list[Skipped]


class Entry(BaseModel):
    """A picture in the gallery. What nobody recorded is null."""

    id: str = Field(description="32 hexadecimal digits.")
    name: str | None = Field(description="Of the file when it was added.")
    camera: str | None
    seen_at: datetime | None = Field(description="In UTC.")
    added_at: datetime = Field(description="In UTC.")
    identity: str | None = Field(description="Who it is, where that is known.")
    tracklet: str | None = Field(description="Of a run of pictures by one camera.")
    tags: list[str]


class Match(Entry):
    """An entry and how well it fits."""

    rank: int = Field(description="From 1, over all pages.")
    score: float = Field(
        description="Cosine similarity, -1 to 1; of a description, a probability, 0 to 1."
    )
    probability: float | None = Field(
        description="That both are one person, where a calibration came with the model; it says "
        "how alike pictures of one person are, not how likely the person is to be here."
    )


class Matches(BaseModel):
    """Best first."""

    searched: int = Field(description="Entries in the gallery.")
    exact: bool = Field(description="Whether every entry was compared, not only the likeliest.")
    matches: list[Match]
    next_offset: int | None = Field(description="Of the next page; null on the last.")


class Entries(BaseModel):
    """A page of entries, as they are stored."""

    entries: list[Entry]
    next_offset: int | None = Field(description="Of the next page; null on the last.")


class Added(BaseModel):
    """What is on disk now."""

    added: int = Field(description="Entries that are new.")
    present: int = Field(description="Entries that were there before and stay as they were.")
    ids: list[str] = Field(description="Of all of them, in the order of the pictures.")
    skipped: list[Skipped]


class Candidates(BaseModel):
    """What would be forgotten."""

    count: int
    examples: list[Entry] = Field(description="The first of them.")
    ids: list[str] = Field(description="The first 1,000.")
    confirmation: str | None = Field(
        description="Send it to POST /v1/forget to forget these, and only these; null for none."
    )
    expires_in_s: int = Field(description="Seconds for which the confirmation holds.")


class Forgotten(BaseModel):
    """What is gone: vectors, attributes, thumbnails, older versions."""

    count: int
    ids: list[str] = Field(description="The first 1,000.")


class SearchByEntry(Model):
    """Look for the person of entries inside."""

    entries: list[EntryId] = Field(
        min_length=1, max_length=100, description="Ids, or their beginnings, of one person."
    )
    top_k: TopK = 10
    offset: Offset = 0
    where: Where = None
    exclude_camera: list[Text] = Field(
        [], max_length=100, description="Cameras whose entries are left out."
    )
    exclude_own_camera: bool = Field(False, description="Leave out the entries' own cameras.")
    group_by: Literal["identity", "tracklet"] | None = Field(
        None, description="Only the best entry of each."
    )
    false_match_rate: FalseMatchRate = None


class SearchByDescription(Model):
    """Look for people by what they wear."""

    description: Words = Field(examples=["woman, red top, backpack"])
    top_k: TopK = 10
    offset: Offset = 0
    where: Where = None


class FindToForget(Model):
    """Entries must fit all that is given."""

    ids: list[EntryId] = Field([], max_length=1000)
    where: Where = None
    tag: Text | None = None
    since: datetime | None = Field(None, description="Seen then or after.")
    until: datetime | None = Field(None, description="Seen before.")
    keep_days: float | None = Field(
        None, ge=0, le=100_000, description="Only what was seen, else added, so many days ago."
    )
    person: list[EntryId] = Field([], max_length=100, description="Entries of a person.")
    threshold: float | None = Field(
        None, ge=-1, le=1, description="Similarity to the person from which an entry is meant."
    )
    false_match_rate: FalseMatchRate = None


class Confirmation(Model):
    """Forget what was shown."""

    confirmation: str = Field(min_length=16, max_length=64)


class Point(BaseModel):
    """An entry on the map."""

    id: str
    x: float = Field(description="0 to 1.")
    y: float = Field(description="0 to 1.")
    camera: str | None
    seen_at: datetime | None
    identity: str | None


class GalleryMap(BaseModel):
    """Some of the gallery in the plane: what looks alike lies together."""

    method: Literal["t-SNE", "PCA"] | None = Field(description="Null where there are too few.")
    note: str | None = Field(description="What to know about it, for people.")
    entries: int = Field(description="In the gallery.")
    points: list[Point] = Field(description="Entries drawn at random; all of a small gallery.")


class Statistics(BaseModel):
    """The gallery in numbers."""

    entries: int
    with_attributes: int
    with_thumbnail: int
    cameras: dict[str, int] = Field(description="Entries of each; the unknown camera is ''.")
    identities: int
    tracklets: int
    first_seen: datetime | None
    last_seen: datetime | None
    dimension: int | None
    precision: str | None
    model: str | None = Field(description="Fingerprint of the network.")
    bytes_on_disk: int | None
    bytes_per_entry: float | None
    index: str
    indexed: int
    recall_at_10: float | None = Field(description="Not measured here: null.")


def probabilities(row: Any) -> dict[str, float] | None:
    """A row of an attribute array by names; none for none."""
    return None if row is None else dict(zip(NAMES, row.tolist(), strict=True))
