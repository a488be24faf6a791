"""The language model: prompts, decoding, and reading what it writes."""
