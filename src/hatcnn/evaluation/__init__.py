"""Ranking, re-ranking and attribute scores: arrays in, results out, no torch."""
