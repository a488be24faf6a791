"""Who may use the server: by address, host, origin and token."""

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
"""Of every response. No inline code, nothing from elsewhere, no frame around the page."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must show.

    Attributes:
        token: Opens the page; empty if none is needed.
        port: Names the cookie, as cookies don't tell ports apart.
    """

    token: str
    port: int

    @classmethod
    def choose(cls, host: str, port: int, token: str | None) -> "Access":
        """Make a token where others can reach the address and none was given."""
        if token is None and not is_loopback(host):
            token = secrets.token_urlsafe(18)
        return cls(token or "", port)

    @property
    def cookie(self) -> str:
        """The cookie's name."""
        return f"segzero_console_{self.port}"

    def knows_host(self, headers: Mapping[str, str]) -> bool:
        """Whether the Host is one that this server has.

        Without a token only names of this machine count: a foreign name that was made to point
        here (DNS rebinding) would let a foreign page in.
        """
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            return False
        return bool(name) if self.token else name in LOOPBACK_NAMES

    def same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a WebSocket was opened by this server's own page, or by no browser."""
        origin = headers.get("origin")
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc == headers.get("host")

    def is_open(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Whether the request shows the token, where one is needed."""
        if not self.token:
            return True
        return any(map(self.is_token, (query.get("token", ""), self._from_cookie(headers))))

    def is_token(self, text: str) -> bool:
        """Compare with the token, in a time that says nothing about it."""
        return hmac.compare_digest(text.encode(errors="replace"), self.token.encode())

    def _from_cookie(self, headers: Mapping[str, str]) -> str:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        return cookies[self.cookie].value if self.cookie in cookies else ""
