"""A gallery of people that can be searched by picture and by words, and can forget."""

from hatcnn.gallery.gallery import Gallery
from hatcnn.gallery.matches import Added, Entry, Forgotten, Match, Matches, Ranked, Sampled
from hatcnn.gallery.statistics import Statistics

__all__ = [
    "Added",
    "Entry",
    "Forgotten",
    "Gallery",
    "Match",
    "Matches",
    "Ranked",
    "Sampled",
    "Statistics",
]
