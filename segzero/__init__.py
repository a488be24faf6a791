"""Seg-Zero: ask an image a question; get reasoning, boxes, points and masks (arXiv 2503.06520)."""
