"""TLS towards servers of the policy, with the CAs that it names."""

import asyncio
import ssl
from pathlib import Path
from typing import TypeAlias

from extauthz.fetch.exchange import FetchError, why
from extauthz.files import Stamp, stamp

__all__ = ["TlsContext", "TlsContexts"]

TlsContext: TypeAlias = ssl.SSLContext | bool
"""As aiohttp takes it: True where there is no TLS."""


class TlsContexts:
    """TLS settings, read again when their CA file has changed."""

    def __init__(self) -> None:
        self._contexts: dict[str | None, tuple[Stamp | None, ssl.SSLContext]] = {}

    async def towards(self, url: str, ca_file: str | None) -> TlsContext:
        """The settings for a URL, with these CAs or those of the system."""
        if not url.startswith("https:"):
            return True
        now = None if ca_file is None else stamp(Path(ca_file))
        known = self._contexts.get(ca_file)
        if known is None or known[0] != now:
            try:
                context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
            except OSError as error:
                raise FetchError(f"the CA file {ca_file} is not usable: {why(error)}") from error
            known = self._contexts[ca_file] = (now, context)
        return known[1]
