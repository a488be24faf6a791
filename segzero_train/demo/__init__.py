"""The demo profile: a tiny Qwen3-VL and a tiny SAM2, trained from scratch on the tabletop."""
