"""A simulated tabletop: frames, depth, instance ids, and questions with their true objects."""
