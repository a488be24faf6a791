"""Licences of published weights and data, as their pages state them."""

LICENCES = {
    "Qwen/Qwen2-VL-2B-Instruct": "apache-2.0",
    "Qwen/Qwen2.5-VL-3B-Instruct": "other",
    "Qwen/Qwen2.5-VL-7B-Instruct": "apache-2.0",
    "Qwen/Qwen3-VL-8B-Instruct": "apache-2.0",
    "Ricky06662/Seg-Zero-7B": "other",
    "facebook/sam2-hiera-large": "apache-2.0",
    "facebook/sam2.1-hiera-large": "apache-2.0",
    "facebook/sam3": "its own, and gated: accept it on its page",
    "Ricky06662/ReasonSeg_test": "cc-by-nc-4.0",
    "Ricky06662/ReasonSeg_val": "cc-by-nc-4.0",
}
"""By names on the Hub; `other` is a licence of the authors' own."""
UNKNOWN = "see its page or its owner"


def licence_line(name: str) -> str:
    """What to tell who downloads something.

    Args:
        name: On the Hub, with or without `@revision`.

    Returns:
        One line, such as "licence of Ricky06662/Seg-Zero-7B: other; read its page before use".
    """
    name = name.partition("@")[0]
    stated = LICENCES.get(name, "not known here")
    return f"licence of {name}: {stated}; read its page before use"
