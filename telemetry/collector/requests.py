"""What an analyst's or user's machine asks of a collector."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import aiohttp

from fimble.errors import InputError
from fimble.upload import FORGET_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.settings import TelemetrySettings

TIMEOUT_S = 300.0


async def ask_to_forget(settings: TelemetrySettings, user_keys: Sequence[str]) -> None:
    """Have a collector forget a user; when this returns, it has.

    Raises:
        InputError: It did not.
    """
    token = os.environ.get(settings.collector_token_variable, "")
    url = settings.collector_url.rstrip("/") + FORGET_PATH
    try:
        tls = ssl.create_default_context(cafile=settings.collector_ca_file or None)
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=True
            ) as http,
            http.post(
                url,
                json={"user_keys": list(user_keys)},
                headers={"Authorization": f"Bearer {token}"},
                ssl=tls,
            ) as answer,
        ):
            if answer.status != 200:
                raise InputError(f"{url} says {answer.status}: {await answer.text()}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise InputError(f"cannot reach {url}: {error}") from error
