"""The published tokenizers and processors of Qwen2.5-VL and Qwen3-VL, without weights.

The vocabulary is a file of the package `dashscope` (Apache-2.0), which is read where it is
installed. The special tokens follow it, in the published order. The chat templates are those that
TRL carries.
"""

import base64
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, normalizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

Family = Literal["qwen2_5_vl", "qwen3_vl"]
FAMILIES: tuple[Family, ...] = ("qwen2_5_vl", "qwen3_vl")

SPECIAL = tuple(
    f"<|{name}|>"
    for name in (
        *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start"),
        *("box_end", "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad"),
        *("image_pad", "video_pad"),
    )
)
"""The tokens from 151643 on; decoding leaves them out."""
WORDS = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
"""The tokens from 151657 on: one token each, but ordinary text."""
QWEN3_WORDS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
"""The same from 151665 on, which Qwen3-VL alone has."""


def vocabulary() -> dict[bytes, int]:
    """The published vocabulary: bytes of each token → its id, which is also its rank."""
    package = find_spec("dashscope")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("there is no package dashscope to read the vocabulary of: `make`")
    file = Path(package.origin).parent / "resources" / "qwen.tiktoken"
    lines = (line.split() for line in file.read_bytes().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def build() -> Tokenizer:
    """The vocabulary with SPECIAL and WORDS as a tokenizer; this takes seconds."""
    converter = _Converter(pattern=PRETOKENIZE_REGEX, extra_special_tokens=list(SPECIAL))
    tokenizer = converter.converted()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in WORDS])
    return tokenizer


def load(file: Path, family: Family) -> PreTrainedTokenizerFast:
    """The tokenizer of a family, from what `build` made and saved."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(file),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    if family == "qwen3_vl":
        words = [AddedToken(word, special=False, normalized=False) for word in QWEN3_WORDS]
        tokenizer.add_tokens(words)
    return tokenizer


def processor(tokenizer: PreTrainedTokenizerFast, family: Family) -> Any:
    """The processor with the published settings."""
    package = find_spec("trl")
    assert package is not None
    assert package.origin is not None
    template = (Path(package.origin).parent / "chat_templates" / f"{family}.jinja").read_text()
    if family == "qwen3_vl":
        images = Qwen2VLImageProcessor(
            patch_size=16,
            size={"shortest_edge": 256**2, "longest_edge": 4096**2},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )
        return Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), template)
    images = Qwen2VLImageProcessor(size={"shortest_edge": 56**2, "longest_edge": 12_845_056})
    return Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), template)


class _Converter(TikTokenConverter):
    """Reads the vocabulary without the package `tiktoken`."""

    @staticmethod
    def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
        return vocabulary()
