"""The KL term of the authors' code, which is clamped for every token."""

import math

import torch
from scipy.special import lambertw


def clamp_reference(logps: torch.Tensor, reference: torch.Tensor, limit: float) -> torch.Tensor:
    """Reference log-probabilities with which the low-variance KL estimate is at most `limit`.

    The estimate of a token is exp(d) - d - 1 for d = reference - logps. Where it is above the
    limit, as in the authors' code, it is the limit and has no gradient.

    Args:
        logps: (B, T), of the policy, with gradient.
        reference: (B, T), of the reference model.
        limit: Above 0.

    Returns:
        (B, T); equal to `reference` where the estimate is within the limit.
    """
    # The two d at which the estimate is the limit.
    low, high = (
        float(-limit - 1 - lambertw(-math.exp(-limit - 1), branch).real) for branch in (0, -1)
    )
    difference = (reference - logps).detach()
    outside = (difference < low) | (difference > high)
    return torch.where(outside, logps + difference.clamp(low, high), reference)
