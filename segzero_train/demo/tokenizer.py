"""The demo's tokenizer: byte-level BPE over the texts about a tabletop.

It can encode any text, if necessary byte by byte. Texts about the tabletop are short: each word is
one token, each whole number from 0 to 1000, and each fixed part of the prompt and of the answer's
JSON. A model of two million parameters gains nothing from reading those word by word.
"""

from collections.abc import Iterator
from itertools import product

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from segzero.reasoning.prompts import PROMPTS, SYSTEM
from segzero_sim.questions import SeenObject, questions
from segzero_sim.scene import COLOURS, SHAPES
from segzero_train.datasets.tabletop_texts import REQUESTS

CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LARGEST_NUMBER = 1000
_WORDS = r"( ?\p{L}+)|(\p{N}+)|( ?[^\s\p{L}\p{N}]+)|(\s+)"
ANSWER_START = "</think><answer>["
_JSON = (
    "<think>",
    ANSWER_START,
    '{"bbox_2d": [',
    '], "point_2d": [',
    "]}, ",
    "]}]</answer>",
    "]</answer>",
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer; the vocabulary is the same on each call."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(), trainer)
    before, after = PROMPTS["vision_reasoner"].text.split("{Question}")
    stretches = [before, after, SYSTEM, *_JSON]
    bpe.add_tokens([AddedToken(text, normalized=False) for text in stretches])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROL[1:]),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _corpus() -> Iterator[str]:
    """Each word of all questions and thoughts, and each number."""
    # Twice: a merge must be seen more than once.
    for _ in range(2):
        yield from (str(number) for number in range(LARGEST_NUMBER + 1))
        yield from ("system\n", "user\n", "assistant\n")
        yield f"A B C D E F, [ ]; match: A, match: A, B. none. {' '.join(REQUESTS)} "
        for shape, colour in product(SHAPES, COLOURS):
            yield f"{colour} {shape}, {shape}, a {colour}, an {colour}"
        for question in (*_all_questions(), *REQUESTS):
            yield question
            yield f" {question}"


def _all_questions() -> list[str]:
    """Texts of the questions about pairs and triples of objects; together they use every word."""
    texts = set()
    for first, second in product(product(SHAPES, COLOURS), repeat=2):
        pair = [
            SeenObject(1, *first, half=0.05, box=(0.1, 0.1, 0.2, 0.2), point=(0.15, 0.15)),
            SeenObject(2, *second, half=0.08, box=(0.7, 0.7, 0.9, 0.9), point=(0.8, 0.8)),
        ]
        third = SeenObject(3, *first, half=0.05, box=(0.4, 0.4, 0.5, 0.5), point=(0.45, 0.45))
        texts |= {question.text for question in questions(pair)}
        texts |= {question.text for question in questions([*pair, third])}
    return sorted(texts)
