"""SAM 2: masks from boxes and points, and the same objects in later frames."""
