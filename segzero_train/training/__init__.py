"""What the training commands share: rows, runs, evaluation while training."""
