"""The prompt templates, and the function that cleans a user's question.

Checkpoints are trained on exactly these characters: any change costs accuracy. The templates are
those of dvlab-research/Seg-Zero: `seg_zero` is for the single-object model, `vision_reasoner` for
the multi-object one. There is no space between the sentences, as in the original.
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


_VISION_REASONER = PromptTemplate(
    text='Please find "{Question}" with bboxs and points.'
    "Compare the difference between object(s) and find the most closely matched object(s)."
    "Output the thinking process in <think> </think> and final answer in "
    "<answer> </answer> tags."
    "Output the bbox(es) and point(s) inside the interested object(s) in JSON format."
    "i.e., <think> thinking process here </think>"
    '<answer>[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, '
    '{"bbox_2d": [225,296,706,786], "point_2d": [302,410]}]</answer>',
    strip='."?!',
)
PROMPTS: Mapping[str, PromptTemplate] = MappingProxyType(
    {
        "seg_zero": PromptTemplate(
            text="Please find '{Question}' with bbox and points."
            "Compare the difference between objects and find the most closely matched one."
            "Output the thinking process in <think> </think> and final answer in "
            "<answer> </answer> tags."
            "Output the one bbox and points of two largest inscribed circles inside the "
            "interested object in JSON format."
            "i.e., <think> thinking process here </think>"
            "<answer>{'bbox': [10,100,200,210], 'points_1': [30,110], 'points_2': [35,180]}"
            "</answer>",
            strip=".",
        ),
        "vision_reasoner": _VISION_REASONER,
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
