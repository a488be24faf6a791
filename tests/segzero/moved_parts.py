"""Models of a refactored library."""

from typing import Any

from torch import nn


class Wrapped(nn.Module):
    """A module whose parts have moved one level down, as in a refactored library."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self.inner(*arguments, **options)

    def get_input_embeddings(self) -> Any:  # which transformers asks a language model for
        return self.inner.get_input_embeddings()


def move(model: Any, path: str) -> None:
    """Put a part of a model into a `Wrapped`."""
    parent, _, name = path.rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, name, Wrapped(getattr(owner, name)))
