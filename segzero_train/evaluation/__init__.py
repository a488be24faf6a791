"""The parts of `python -m segzero_train.evaluate`."""
