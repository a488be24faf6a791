"""Before rollouts by a vLLM server: does it read a prompt as the trainer does?

Where the two differ, nothing fails: rewards and gradients are of a prompt that the model never saw.
"""

from typing import TYPE_CHECKING, Any

from trl.data_utils import prepare_multimodal_messages

from segzero_train.errors import BadRecipe

if TYPE_CHECKING:
    from trl import GRPOConfig


def require_server(config: "GRPOConfig") -> None:
    """Raise BadRecipe if rollouts are to come from vLLM in the trainer's own process."""
    if config.use_vllm and config.vllm_mode != "server":
        raise BadRecipe(
            "vLLM in the trainer's own process expands image tokens a second time: set vllm_mode "
            "to server and start one with `vllm serve`"
        )


def check_prompt_ids(trainer: Any, row: dict[str, Any]) -> None:
    """Raise BadRecipe if the server of a GRPOTrainer makes other tokens of a row's image."""
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
