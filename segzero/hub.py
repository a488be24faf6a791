"""Download weights from the Hugging Face Hub. Only `fetch` uses the network."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from segzero.errors import CheckpointError
from segzero.weights import (
    SETTINGS,
    SUBFOLDERS,
    check_weights,
    resolve_weights,
    split_revision,
    weight_files,
)

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_LONGEST_REASON = 300
"""Characters of another library's message that an error repeats."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def fetch(weights: str) -> Path:
    """Download weights from the Hugging Face Hub into its cache.

    Only the safetensors that the model consists of are downloaded, and the small files beside them.

    Args:
        weights: A Hub name (`owner/name` or `owner/name@revision`), or an absolute folder, which is
            only checked.

    Returns:
        The folder of the weights. Whole files are not downloaded again.

    Raises:
        CheckpointError: The download failed, or the folder is not complete.
    """
    if Path(weights).is_absolute():
        return resolve_weights(weights)
    try:
        try:
            return _download_and_check(weights)
        except CheckpointError:  # a file that was damaged here isn't downloaded again by itself
            return _download_and_check(weights, anew=True)
    except CheckpointError:
        raise
    except Exception as error:  # network, access rights, full disk: many libraries' own errors
        raise CheckpointError(
            f"can't fetch the weights {weights}: {_explain(weights, error)}"
        ) from error


def _download_and_check(weights: str, *, anew: bool = False) -> Path:
    folder = _download(weights, SETTINGS, anew)
    _download(weights, [path.name for path in weight_files(folder)], anew)
    check_weights(folder, f"it is so on {constants.ENDPOINT}, choose another model or revision")
    return folder


def _download(weights: str, patterns: Sequence[str], anew: bool) -> Path:
    name, revision = split_revision(weights)
    folder = snapshot_download(
        name,
        revision=revision,
        allow_patterns=list(patterns),
        ignore_patterns=list(SUBFOLDERS),
        force_download=anew,
    )
    return Path(folder)


def _explain(weights: str, error: Exception) -> str:
    """What happened, and what to do about it."""
    name, revision = split_revision(weights)
    page = f"{constants.ENDPOINT}/{name}"
    for cause in _causes(error):
        if isinstance(cause, HFValidationError):
            return "a name on the Hub is owner/name; the folder of a checkpoint is absolute"
        if isinstance(cause, RevisionNotFoundError):
            return f"{page} has no revision {revision!r}: check its spelling"
        if isinstance(cause, GatedRepoError):
            rest = "" if get_token() else f", then {_LOG_IN}"
            return f"it is gated: accept its licence at {page}{rest}"
        if isinstance(cause, RepositoryNotFoundError):
            return f"there is no {page}, or you may not see it: check the spelling, or {_LOG_IN}"
        if isinstance(cause, HfHubHTTPError):
            return _explain_status(cause.response.status_code, page)
        if isinstance(cause, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE forbids the network: unset it"
        if isinstance(cause, httpx2.ProxyError):
            return f"the proxy failed ({_line(cause)}): check HTTPS_PROXY and NO_PROXY"
        if isinstance(cause, httpx2.TransportError):
            return f"{constants.ENDPOINT} can't be reached ({_line(cause)}): check the network"
        if getattr(cause, "errno", 0) in _FULL or "no space left" in str(cause).lower():
            return (
                f"the disk is full: free space in {constants.HF_HUB_CACHE}, or set HF_HOME to a "
                f"folder on another disk"
            )
        if isinstance(cause, OSError) and cause.filename and cause.errno in _FORBIDDEN:
            return f"can't write {cause.filename}: set HF_HOME to a folder of your own"
    return (
        f"{_line(error)}: check the network and the free disk space, or copy the folder here and "
        f"name its path in a profile"
    )


def _explain_status(status: int, page: str) -> str:
    if status == 401:
        return f"the Hub refuses your token: {_LOG_IN} anew"
    if status == 403:
        return (
            f"your token has no right to read {page}: ask for access there, and give the token "
            f"the right to read"
        )
    if status == 404:
        return f"there is no {page}: check the spelling"
    if status == 429:
        return f"too many requests: wait some minutes, or {_LOG_IN}"
    return f"{constants.ENDPOINT} answers with HTTP {status}: try again later"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the first cause first."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    return reversed(chain)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
