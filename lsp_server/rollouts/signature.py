"""Signatures of rules: Ed25519, in the first line of the file that they sign.

    # signed ed25519 BASE64
    rules_version = 7
    ...

Rules and signature are one file, so that it is replaced as a whole. Source: RFC 8032; the code is
that of the package cryptography, which is imported when there is something to verify.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING

from fimble.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_MARK = "ed25519:"
"""Public keys are written with it: `ed25519:` and 32 bytes in Base64."""
_LINE_MARK = b"# signed ed25519 "
_PURPOSE = b"fimble rollout 1\0"
"""Goes before what is signed: a signature of anything else by the same key is no signature here."""


def with_signature(text: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return `text` under a line with its signature, in the place of the one it may have had."""
    body = _body(text)
    return _LINE_MARK + base64.b64encode(key.sign(_PURPOSE + body)) + b"\n" + body


def verified(data: bytes, keys: tuple[str, ...], *, where: str) -> str:
    """Return the rules of a file that one of the keys has signed.

    Args:
        data: The file.
        keys: Public keys, as `public_key` writes them.
        where: File, for messages.

    Raises:
        ConfigError: No key has signed it, or a key is none.
        InputError: The package cryptography is missing.
    """
    trusted = [_key_bytes(key) for key in keys]
    if not data.startswith(_LINE_MARK):
        raise ConfigError(
            f"{where} is not signed: its first line must be '# signed ed25519 ...', as "
            "`fimble rollout sign` writes it"
        )
    line, _, body = data.partition(b"\n")
    try:
        signature = base64.b64decode(line[len(_LINE_MARK) :].strip(), validate=True)
        text = body.decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is damaged: {error}") from error
    if not any(_is_signed(_PURPOSE + body, signature, key) for key in trusted):
        raise ConfigError(
            f"{where} is signed by none of the {len(keys)} keys in [rollout] keys, or was changed "
            "after it was signed"
        )
    return text


def public_key(key: Ed25519PrivateKey) -> str:
    """Return what goes into `[rollout] keys`."""
    return KEY_MARK + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def make_key(path: Path) -> Ed25519PrivateKey:
    """Write a new private key, PEM, readable by the user only, and return it.

    Raises:
        InputError: The file exists.
        OSError: It cannot be written.
    """
    _check_installed()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{path} exists; a key that is in use must not be overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return key


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file, as `make_key` or `openssl genpkey` writes it.

    Raises:
        InputError: The file cannot be read, or holds no such key.
    """
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} holds a key of another kind; it must be Ed25519")
    return key


def _is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    _check_installed()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            "signed rollouts need the package cryptography, which is not installed; install the "
            "extra: pip install 'fimble[rollout]'"
        ) from error


def _key_bytes(key: str) -> bytes:
    try:
        raw = base64.b64decode(key.removeprefix(KEY_MARK), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not key.startswith(KEY_MARK) or len(raw) != 32:
        raise ConfigError(
            f"[rollout] keys holds {key!r}; a key is '{KEY_MARK}' and 32 bytes in Base64, as "
            "`fimble rollout key` prints it"
        )
    return raw


def _body(text: bytes) -> bytes:
    return text.partition(b"\n")[2] if text.startswith(_LINE_MARK) else text
