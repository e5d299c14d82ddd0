"""The proxy that the environment names; nothing else is taken from there."""

from base64 import b64encode
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

from yarl import URL

_SCHEMES: Final = ("http", "https")


class EnvironmentProxy:
    """What `https_proxy` and `no_proxy` say, or the settings of the system.

    They are read once. Raises `ValueError` for a proxy that can't be used.
    """

    def __init__(self) -> None:
        named = getproxies().get("https")
        self._url = URL(named) if named else None
        if self._url is not None and (self._url.scheme not in _SCHEMES or not self._url.host):
            raise ValueError(f"https_proxy is no URL of {' or '.join(_SCHEMES)}")

    def settings(self, host: str, port: int) -> dict[str, Any]:
        """Return aiohttp's settings for a request to `host`."""
        if self._url is None or proxy_bypass(f"{host}:{port}"):
            return {}
        settings: dict[str, Any] = {"proxy": str(self._url.with_user(None))}
        if self._url.user is not None:
            login = f"{self._url.user}:{self._url.password or ''}".encode()
            credentials = b64encode(login).decode("ascii")
            settings["proxy_headers"] = {"Proxy-Authorization": f"Basic {credentials}"}
        return settings
