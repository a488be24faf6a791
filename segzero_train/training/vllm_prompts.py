"""Checks, before rollouts by a vLLM server, that it reads a prompt as the trainer does.

Where the two differ, nothing fails: rewards and gradients are of a prompt that the model never saw.
"""

from typing import TYPE_CHECKING, Any

from trl.data_utils import prepare_multimodal_messages

from segzero_train.errors import BadRecipe

if TYPE_CHECKING:
    from trl import GRPOConfig


def require_server(config: "GRPOConfig") -> None:
    """Refuse vLLM in the trainer's own process.

    Args:
        config: The trainer's.

    Raises:
        BadRecipe: `use_vllm` is set and `vllm_mode` isn't `server`.
    """
    if config.use_vllm and config.vllm_mode != "server":
        raise BadRecipe(
            "vLLM in the trainer's own process expands image tokens a second time: set vllm_mode "
            "to server and start one with `vllm serve`"
        )


def check_prompt_ids(trainer: Any, row: dict[str, Any]) -> None:
    """Compare how many tokens the vLLM server and the trainer make of an image.

    Args:
        trainer: A GRPOTrainer with `use_vllm`.
        row: A training row, with `prompt` and `image`.

    Raises:
        BadRecipe: They differ, or the server didn't take the image.
    """
    if not trainer.accelerator.is_main_process:
        return
    processor: Any = trainer.processing_class
    messages = prepare_multimodal_messages(row["prompt"], [row["image"]])
    ids = processor.apply_chat_template(
        [messages], add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"][0]
    ours = list(ids).count(processor.image_token_id)
    try:
        (features,) = trainer.vllm_generation.vllm_client.image_features([[row["image"]]])
    except Exception as error:  # the client's own are bare RuntimeError and Exception
        raise BadRecipe(f"the vLLM server didn't take an image: {error}") from error
    theirs = sum(place["length"] for place in features["mm_placeholders"]["image"])
    if ours != theirs:
        raise BadRecipe(
            f"the vLLM server makes {theirs} tokens of an image, the trainer {ours}: start the "
            f"server with the model folder that is trained, its preprocessor settings included"
        )
