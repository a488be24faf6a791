"""The prompt templates, and the function that cleans a user's question.

Checkpoints are trained on exactly these characters: any change costs accuracy. The templates are
those of dvlab-research/Seg-Zero: `seg_zero` is for the single-object model, `vision_reasoner` for
the multi-object one. There is no space between the sentences, as in the original.

For the ablations of the Seg-Zero paper each has three variants: `…_no_thinking` (table 1), `…_box`
and `…_points` (table 2). Their words were not published. Here they are the originals without the
parts that ask for what is left out.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from segzero.errors import BadQuestion

SYSTEM = "You are a helpful assistant."
MAX_QUESTION = 2000
"""Longest accepted question, in characters."""


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt with a place for the question.

    Attributes:
        text: The prompt, which holds `{Question}`.
        strip: Characters that are removed from both ends of the question.
        lower: Whether the question is put in lower case.
    """

    text: str
    strip: str
    lower: bool = True

    def fill(self, question: str) -> str:
        """Write the user's turn.

        Args:
            question: As `clean_question` returned it.

        Returns:
            The prompt with the question in its place.
        """
        question = question.lower() if self.lower else question
        return self.text.replace("{Question}", question.strip(self.strip))


_THINKING = (
    "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
)
_THOUGHT = "<think> thinking process here </think>"


def _seg_zero(asked: str, output: str, example: str, thinking: bool = True) -> PromptTemplate:
    return PromptTemplate(
        text=f"Please find '{{Question}}' with {asked}."
        "Compare the difference between objects and find the most closely matched one."
        f"{_THINKING if thinking else _NO_THINKING}"
        f"Output the {output} in JSON format."
        f"i.e., {_THOUGHT if thinking else ''}<answer>{example}</answer>",
        strip=".",
    )


def _vision_reasoner(
    asked: str, output: str, example: str, thinking: bool = True
) -> PromptTemplate:
    return PromptTemplate(
        text=f'Please find "{{Question}}" with {asked}.'
        "Compare the difference between object(s) and find the most closely matched object(s)."
        f"{_THINKING if thinking else _NO_THINKING}"
        f"Output the {output} the interested object(s) in JSON format."
        f"i.e., {_THOUGHT if thinking else ''}<answer>{example}</answer>",
        strip='."?!',
    )


_NO_THINKING = "Output the final answer in <answer> </answer> tags."
_ONE_OBJECT = (
    "bbox and points",
    "one bbox and points of two largest inscribed circles inside the interested object",
    "{'bbox': [10,100,200,210], 'points_1': [30,110], 'points_2': [35,180]}",
)
_OBJECTS = (
    "bboxs and points",
    "bbox(es) and point(s) inside",
    '[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, '
    '{"bbox_2d": [225,296,706,786], "point_2d": [302,410]}]',
)
_VISION_REASONER = _vision_reasoner(*_OBJECTS)
PROMPTS: Mapping[str, PromptTemplate] = MappingProxyType(
    {
        "seg_zero": _seg_zero(*_ONE_OBJECT),
        "seg_zero_no_thinking": _seg_zero(*_ONE_OBJECT, thinking=False),
        "seg_zero_box": _seg_zero(
            "bbox", "one bbox of the interested object", "{'bbox': [10,100,200,210]}"
        ),
        "seg_zero_points": _seg_zero(
            "points",
            "points of two largest inscribed circles inside the interested object",
            "{'points_1': [30,110], 'points_2': [35,180]}",
        ),
        "vision_reasoner": _VISION_REASONER,
        "vision_reasoner_no_thinking": _vision_reasoner(*_OBJECTS, thinking=False),
        "vision_reasoner_box": _vision_reasoner(
            "bboxs",
            "bbox(es) of",
            '[{"bbox_2d": [10,100,200,210]}, {"bbox_2d": [225,296,706,786]}]',
        ),
        "vision_reasoner_points": _vision_reasoner(
            "points", "point(s) inside", '[{"point_2d": [30,110]}, {"point_2d": [302,410]}]'
        ),
    }
)
TRAINING_PROMPTS: Mapping[str, PromptTemplate] = MappingProxyType(
    {
        **PROMPTS,
        "vision_reasoner_training": replace(_VISION_REASONER, text=f"\n{_VISION_REASONER.text}"),
    }
)
"""Those that a model can be trained with: the authors put a line break after the image there."""
SHORT_ANSWER = PromptTemplate(
    text="{Question}\nAnswer the question using a single word or phrase.", strip="", lower=False
)
"""The usual prompt of visual question answering; it asks for no coordinates."""


def clean_question(text: str) -> str:
    """Strip a question and make control tokens in it plain text.

    Chat, image and answer tokens (`<|im_start|>`, `<|image_pad|>`, `</answer>`, `<think>`, …) all
    start with "<" and a character that isn't a blank. After a blank is inserted behind such a "<",
    no tokenizer reads a control token there. Cleaning twice gives the same result.

    Args:
        text: The user's question.

    Returns:
        The clean question.

    Raises:
        BadQuestion: The text is empty, blank, only punctuation, longer than MAX_QUESTION
            characters, or holds control characters, surrogates or U+FFFD.
    """
    if not isinstance(text, str):
        raise BadQuestion(f"the question must be text, not {type(text).__name__}")
    question = text.strip()
    if not question.strip(' \t\r\n."?!'):
        raise BadQuestion("the question is empty: say what to look for, such as 'the red ball'")
    if len(question) > MAX_QUESTION:
        raise BadQuestion(
            f"the question has {len(question)} characters; at most {MAX_QUESTION} are allowed"
        )
    for character in question:
        if _is_not_text(character):
            raise BadQuestion(
                f"the question isn't valid UTF-8 text: it holds U+{ord(character):04X}"
            )
    return re.sub(r"<(?=\S)", "< ", question)


def build_messages(prompt: str | PromptTemplate, question: str) -> list[dict[str, Any]]:
    """Build the chat for one image and one question: a system turn, then image and text.

    Args:
        prompt: A key of PROMPTS, or a template.
        question: The user's question; it is cleaned here.

    Returns:
        Messages for a chat template of transformers.

    Raises:
        BadQuestion: As for `clean_question`.
        ValueError: There is no such prompt.
    """
    if isinstance(prompt, str):
        if prompt not in PROMPTS:
            raise ValueError(f"unknown prompt {prompt!r}; there are {', '.join(PROMPTS)}")
        prompt = PROMPTS[prompt]
    text = prompt.fill(clean_question(question))
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},
    ]


def _is_not_text(character: str) -> bool:
    if character in "\t\r\n":
        return False
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cs")
