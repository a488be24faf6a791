"""Datasets as samples: an image, a question, and the ground truth."""
