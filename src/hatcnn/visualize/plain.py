"""Results in plain words, for who does not know the field's."""

from __future__ import annotations

import numpy as np

from hatcnn.evaluation import Ranking
from hatcnn.evaluation.thresholds import ScoreHistogram, match_rates

# In short what docs/responsible-use.md says.
CAVEATS = (
    "Every result is a ranking, not a verdict: the first picture in it is somebody, whether or not "
    "the right person is in the gallery.",
    "A benchmark flatters: its cameras, season and crowd may be those that the network was trained "
    "on. On other cameras expect much worse, and measure it before anybody relies on it.",
    "It is not equally wrong for everyone. Look at the worst row of a table, not at the average.",
    "Attributes are guesses from a picture. What is called gender is what an annotator saw; it is "
    "no fact about a person.",
    "Do not use it to follow or identify people covertly or without a legal basis, and let nothing "
    "about a person be decided by it alone.",
)


def ranking_words(ranking: Ranking) -> list[str]:
    """How well a ranking finds people, a sentence each."""
    if not ranking.matched.any():
        return ["No picture searched for has a match in the gallery: there is nothing to measure."]
    missed = 100 * (1 - ranking.rank(10))
    words = [
        f"Of 100 searches, {100 * ranking.rank(1):.0f} put a picture of the right person first, "
        f"and {100 * ranking.rank(5):.0f} among the first five.",
        f"{missed:.1f} of 100 show somebody else in all of the first ten."
        if missed
        else "All show the right person among the first ten.",
    ]
    if not ranking.matched.all():
        words.append(
            f"{(~ranking.matched).sum():,} of the pictures searched for have no match in the "
            "gallery, and do not count."
        )
    return words


def threshold_words(counts: ScoreHistogram, threshold: float, gallery: int) -> str:
    """What deciding by a threshold would do.

    Args:
        counts: of similarities.
        threshold: one of their edges.
        gallery: pictures in it.
    """
    different, same = match_rates(counts, threshold)
    return (
        f"Calling two pictures the same person from a similarity of {threshold:.2f} on would find "
        f"{percent(same)} % of the pairs that show one person, and be wrong about "
        f"{percent(different)} % of the pairs that show two. In a gallery of {gallery:,} pictures "
        f"that is about {different * gallery:,.0f} wrong pictures a search. The threshold is where "
        "both kinds of error are equally frequent here, and no advice."
    )


def percent(value: float) -> str:
    """A share as per cent with one digit; a dash for NaN."""
    return "–" if np.isnan(value) else f"{100 * value:.1f}"
