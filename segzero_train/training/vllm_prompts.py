"""Before rollouts by a vLLM server: does it read a prompt as the trainer does?

Where the two differ, nothing fails: rewards and gradients are of a prompt that the model never saw.
"""

from typing import Any

from trl.data_utils import prepare_multimodal_messages

from segzero_train.errors import BadRecipe


def check_prompt_ids(trainer: Any, row: dict[str, Any]) -> None:
    """Raise BadRecipe if the server of a GRPOTrainer makes other tokens of a row's image."""
    if trainer.args.vllm_mode != "server":
        raise BadRecipe(
            "vLLM in the trainer's own process expands image tokens a second time: set vllm_mode "
            "to server and start one with `vllm serve`"
        )
    if not trainer.accelerator.is_main_process:
        return
    processor: Any = trainer.processing_class
    messages = prepare_multimodal_messages(row["prompt"], [row["image"]])
    ids = processor.apply_chat_template(
        [messages], add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"][0]
    ours = list(ids).count(processor.image_token_id)
    client = trainer.vllm_generation.vllm_client
    (features,) = client.image_features([[row["image"]]])
    theirs = sum(place["length"] for place in features["mm_placeholders"]["image"])
    if ours != theirs:
        raise BadRecipe(
            f"the vLLM server makes {theirs} tokens of an image, the trainer {ours}: start the "
            f"server with the model folder that is trained, its preprocessor settings included"
        )
