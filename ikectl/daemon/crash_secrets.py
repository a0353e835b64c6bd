"""Crash secrets in a file, so that the next start can prove what this one lost (RFC 6290 §5.1)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ikectl.daemon import files
from ikectl.errors import BackendError
from ikectl.sa.crash_tokens import KEPT, SECRET_OCTETS, CrashSecrets
from ikectl.values.secret import Secret

NAME = "crash-secrets"


def renew(directory: Path) -> CrashSecrets:
    """The secrets of earlier starts and one for this, which is in the file by now.

    The file has nothing but secrets, one behind the other; one that is damaged is begun anew.

    Raises:
        BackendError: the file cannot be read or written.
    """
    path = directory / NAME
    try:
        known = files.read(str(path))
    except FileNotFoundError:
        known = b""
    except OSError as failure:
        raise BackendError(f"cannot read {path}: {failure.strerror or failure}") from failure
    if len(known) % SECRET_OCTETS:
        known = b""
    earlier = [known[at : at + SECRET_OCTETS] for at in range(0, len(known), SECRET_OCTETS)][:KEPT]
    current = secrets.token_bytes(SECRET_OCTETS)
    try:
        _write(path, b"".join((current, *earlier)))
    except OSError as failure:
        raise BackendError(f"cannot write {path}: {failure.strerror or failure}") from failure
    return CrashSecrets(Secret(current), tuple(map(Secret, earlier)))


def _write(path: Path, octets: bytes) -> None:
    """Whole or not at all, and for nobody else to read."""
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
