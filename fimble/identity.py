"""Who a session belongs to, without saying who: a hash under a key that stays on the machine.

The key file `telemetry-keys.json` in the state folder holds one random key an epoch. Events carry
the hash and the number of the epoch, at level `keys` and above. To start a new epoch is to start a
new pseudonym; to destroy a key is to make it impossible to say whose the old one was. A company
that wants one pseudonym for all machines of a user gives each of them the same key file, and the
user's name in `telemetry.user`.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import secrets
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import InputError
from fimble.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEYS_NAME = "telemetry-keys.json"
KEY_BYTES = 32


class Key(NamedTuple):
    """The key of one epoch."""

    epoch: int
    """From 1 on; the newest counts."""
    secret: bytes


class Identity(NamedTuple):
    """A user as events name them."""

    user_key: str
    key_epoch: int


NOBODY = Identity("", 0)


def user_name(configured: str) -> str:
    """Return the name that is hashed: the configured one, or the login name."""
    if configured:
        return configured
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user of this number
        return str(os.getuid()) if hasattr(os, "getuid") else "user"


def identity_of(name: str, key: Key) -> Identity:
    """Return the pseudonym of a user: 128 bits in hexadecimal."""
    digest = hmac.new(key.secret, name.encode(errors="surrogatepass"), hashlib.sha256)
    return Identity(digest.hexdigest()[:32], key.epoch)


def current_identity(folder: Path, name: str) -> Identity:
    """Return the user's pseudonym; the first call makes the key.

    Args:
        folder: Where the key file lies.
        name: See `user_name`.

    Raises:
        InputError: The key file is damaged.
        OSError: It cannot be read or written.
    """
    keys = read_keys(folder)
    if not keys:
        _create(folder, Key(1, secrets.token_bytes(KEY_BYTES)))
        keys = read_keys(folder)
    return identity_of(name, max(keys))


def share_key(folder: Path, secret: bytes) -> None:
    """Make the key of the first epoch of a known secret, where there is no key yet.

    Raises:
        OSError: It cannot be written.
        ValueError: The secret has not `KEY_BYTES` bytes.
    """
    if len(secret) != KEY_BYTES:
        raise ValueError(f"the secret has {len(secret)} bytes, not {KEY_BYTES}")
    _create(folder, Key(1, secret))


def identities(folder: Path, name: str) -> tuple[Identity, ...]:
    """Return every pseudonym that the user has had under keys that still exist.

    Raises:
        InputError: The key file is damaged.
    """
    return tuple(identity_of(name, key) for key in read_keys(folder))


def renew(folder: Path) -> None:
    """Destroy all keys, and begin a new epoch.

    Raises:
        InputError: The key file is damaged.
    """
    newest = max((key.epoch for key in read_keys(folder)), default=0)
    _save(folder, [Key(newest + 1, secrets.token_bytes(KEY_BYTES))])


def read_keys(folder: Path) -> tuple[Key, ...]:
    """Return the keys; none where there is no key file yet.

    Raises:
        InputError: The key file is damaged.
        OSError: It cannot be read.
    """
    path = folder / KEYS_NAME
    try:
        table = json.loads(path.read_bytes())
        keys = tuple(Key(int(number), bytes.fromhex(text)) for number, text in table.items())
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: {error}; it must hold one object of epochs and keys in "
            "hexadecimal. Without the file a new key is made, and you get a new pseudonym"
        ) from error
    if any(len(key.secret) != KEY_BYTES or key.epoch < 1 for key in keys) or not keys:
        raise InputError(
            f"{path} is damaged: each epoch, from 1 on, must have {KEY_BYTES} bytes in hexadecimal"
        )
    return keys


def _create(folder: Path, key: Key) -> None:
    """Write the first key, unless another session was faster."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = folder / f".{KEYS_NAME}.{os.getpid()}.new"
    _write_private(aside, [key])
    try:
        os.link(aside, folder / KEYS_NAME)  # fails where the name is taken, and appears whole
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def _write_private(path: Path, keys: Sequence[Key]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_encoded(keys))


def _save(folder: Path, keys: Sequence[Key]) -> None:
    path = folder / KEYS_NAME
    write_whole(path, _encoded(keys))
    path.chmod(0o600)


def _encoded(keys: Sequence[Key]) -> bytes:
    return f"{json.dumps({str(key.epoch): key.secret.hex() for key in keys})}\n".encode()
