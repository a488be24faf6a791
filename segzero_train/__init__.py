"""Offline training and evaluation of the models in `segzero`."""
