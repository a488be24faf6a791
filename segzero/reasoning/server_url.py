"""Addresses of servers, which may hold a password that no message may show."""

from urllib.parse import unquote, urlsplit


def split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """Take user and password off an address.

    Args:
        url: Such as `https://user:password@example.org/v1`.

    Returns:
        The address without them, fit for messages, and `(user, password)` if it had any.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    # To the last "@", even beyond a "/": a password that was not quoted is hidden all the same.
    credentials, at, address = rest.rpartition("@")
    if not at:
        return url, None
    user, _, password = credentials.partition(":")
    return f"{scheme}{separator}{address}", (unquote(user), unquote(password))


def is_loopback(url: str) -> bool:
    """Whether an address names this machine.

    Args:
        url: Without credentials.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return (
        host in ("localhost", "::1", "0.0.0.0", "::")
        or host.endswith(".localhost")
        or host.startswith("127.")
    )
