"""hatcnn: person re-identification with harmonious attention and attributes."""

__version__ = "0.1.0"
