"""Scoring: confusion counts, IoU, tiled prediction, tables and pictures."""
