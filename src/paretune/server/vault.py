"""Sealing what only this server may read: keys of task containers, uploaded or sent with a job."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from paretune.core.errors import Misconfigured

OTHERS = 0o077
"""Bits of a file's mode that let anybody but its owner read or write it."""


class Vault:
    """Opens what was sealed for its key: libsodium's sealed boxes on X25519, in base64.

    The private key is in `key_file`, made at the first use; of several processes that begin at once all get
    the same. Raises Misconfigured if the file cannot be read or made, holds no key, or is open to others.
    """

    def __init__(self, key_file: Path) -> None:
        key = PrivateKey(_read_or_make(key_file))
        self._box = SealedBox(key)
        self._sealer = SealedBox(key.public_key)
        self.public_key = base64.b64encode(bytes(key.public_key)).decode()
        """32 bytes in base64: whoever has it can seal, and nothing else."""

    def seal(self, text: str) -> str:
        """Raises Misconfigured on text that UTF-8 cannot carry."""
        try:
            return base64.b64encode(self._sealer.encrypt(text.encode())).decode()
        except UnicodeEncodeError:
            raise Misconfigured("secret", "it has characters that UTF-8 cannot carry") from None

    def open(self, sealed: str) -> str:
        """Raises Misconfigured if it was not sealed for this key, or changed since."""
        try:
            return self._box.decrypt(base64.b64decode(sealed, validate=True)).decode()
        except (CryptoError, ValueError):  # of which none may quote what it found
            raise Misconfigured(
                "secret",
                "not sealed for this server; ask for its public key again, seal and upload once more",
            ) from None


def _read_or_make(path: Path) -> bytes:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path)
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(1000)
    except OSError as error:
        raise Misconfigured(str(path), f"the server's key: {error.strerror}") from error
    if mode & OTHERS:
        raise Misconfigured(str(path), f"others may read the server's key; run: chmod 600 {path}")
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != PrivateKey.SIZE:
        raise Misconfigured(
            str(path), "not a key of this server; restore it, or move it away and upload all secrets again"
        )
    return key


def _make(path: Path) -> None:
    """The file appears whole, and only if there is none: a link to what exists fails."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(base64.b64encode(bytes(PrivateKey.generate())) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        pass  # somebody else was first; theirs is the key
    finally:
        part.unlink(missing_ok=True)
