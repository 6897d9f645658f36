"""Where a server is, and the key for it: named in every message by host and variable, shown in none.

Imports no client, so that planning can ask whether a model is behind a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from rmtbench.errors import UserError
from rmtbench.options import flag

PREFIX = "openai:"
OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "no-key"
"""What is sent to a server that asks for none."""
REDACTED = "[redacted]"
AZURES_QUERY = "api-version"
"""A version in the query: no secret."""


def is_endpoint(name: str | None) -> bool:
    """Whether a model's or embedder's name means one behind a server."""
    return name is not None and name.startswith(PREFIX)


def served_name(name: str, option: str = flag.model) -> str:
    """The name by which the server knows it.

    Raises:
        UserError: Nothing stands behind the prefix.
    """
    served = name.removeprefix(PREFIX)
    if not served:
        raise UserError("names no model", where=f"{option} {name}", remedy="give such as openai:gpt-4o-mini")
    return served


class MissingKeyError(UserError):
    """A server needs a key, and no environment variable holds one."""


@dataclass(frozen=True)
class Address:
    """A server and the key for it.

    Attributes:
        url: The base URL, credentials in it included; never shown.
        key: The key, or `NO_KEY`; never shown.
        key_variable: The environment variable that the key comes from.
    """

    url: str = field(repr=False)
    key: str = field(repr=False)
    key_variable: str

    @property
    def host(self) -> str:
        """Host and port, without credentials, path and query."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        """What stands behind the host, without slashes at its ends; never shown."""
        return urlsplit(self.url).path.strip("/")

    @property
    def base(self) -> str:
        """The URL without its query: what the client puts its paths behind."""
        return urlsplit(self.url)._replace(query="", fragment="").geturl()

    @property
    def query(self) -> dict[str, str]:
        """The URL's query, which goes with every request."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def headers(self) -> dict[str, str]:
        """The headers with the key. Azure's servers, known by their query, take it under another name too."""
        azures = {"api-key": self.key} if AZURES_QUERY in self.query and self.key != NO_KEY else {}
        return {"Authorization": f"Bearer {self.key}", **azures}

    def redact(self, text: str) -> str:
        """A text without the key and without what the URL holds beside host and path: servers repeat what they get."""
        parts = urlsplit(self.url)
        userinfo = parts.netloc.rpartition("@")[0]
        pairs = [pair.partition("=")[::2] for pair in parts.query.split("&")]
        values = [form for name, value in pairs if name != AZURES_QUERY for form in (value, unquote(value))]
        secrets = {self.key, userinfo, parts.password or "", unquote(parts.password or ""), *values} - {"", NO_KEY}
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return text


def find_address(
    base_url: str | None,
    key_variable: str | None,
    environ: Mapping[str, str],
    *,
    options: tuple[str, str] = (flag.base_url, flag.key_variable),
) -> Address:
    """Check a URL and look its key up.

    Args:
        base_url: The server; None for OpenAI's own.
        key_variable: The variable that was named for the key; None for `KEY_VARIABLE`.
        environ: Environment variables.
        options: What the user calls the two, for messages.

    Raises:
        UserError: Not a URL, or the key is missing: OpenAI's server needs one, and a variable that is named holds one.
    """
    url = base_url or OPENAI_URL
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname is not None and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        # What was given is not repeated: it may hold a password.
        raise UserError("not the URL of a server", where=options[0], remedy="give such as http://localhost:8000/v1")
    variable = key_variable or KEY_VARIABLE
    key = environ.get(variable, "").strip()
    address = Address(url, key or NO_KEY, variable)
    if not (key.isascii() and key.isprintable()):
        # A request could not even be written with it; the key itself is not repeated.
        raise UserError(
            f"the environment variable {variable} holds characters that no key has",
            where=options[1] if key_variable else variable,
            remedy="paste the whole key again: no dots in place of a part, no curly quotes, no line break",
        )
    if not key and (key_variable is not None or base_url is None):
        raise MissingKeyError(
            f"the key for {address.host} is missing: the environment variable {variable} is not set",
            where=options[1] if key_variable else variable,
            remedy=f"set {variable}, or name another variable with {options[1]}; never give a key as an option",
        )
    return address
