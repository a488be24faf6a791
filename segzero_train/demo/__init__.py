"""The demo profile: a tiny Qwen3-VL and a tiny SAM2, trained from nothing on the tabletop."""
