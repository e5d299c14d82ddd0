"""What may be said of a request besides where it goes."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypedDict

import aiohttp
from aiohttp.client_reqrep import UploadTracker
from aiohttp.typedefs import LooseCookies, LooseHeaders


class RequestOptions(TypedDict, total=False):
    """The keyword arguments of `FederationClient.request()`: aiohttp's, without those refused.

    `timeout` may be a number of seconds for the whole request, too.
    """

    data: Any
    json: Any
    cookies: LooseCookies | None
    headers: LooseHeaders | None
    skip_auto_headers: Iterable[str] | None
    auth: aiohttp.BasicAuth | None
    max_redirects: int
    compress: str | bool | None
    chunked: bool | None
    expect100: bool
    raise_for_status: bool | Callable[[aiohttp.ClientResponse], Awaitable[None]] | None
    read_until_eof: bool
    timeout: aiohttp.ClientTimeout | float | None
    trace_request_ctx: object
    read_bufsize: int | None
    auto_decompress: bool | None
    max_line_size: int | None
    max_field_size: int | None
    max_headers: int | None
    middlewares: Sequence[aiohttp.ClientMiddlewareType] | None
    upload_tracker: UploadTracker | None
