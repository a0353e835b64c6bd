"""File systems in a dictionary, and the two ways a configuration is read in tests."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping

from ikectl.config.load import Configuration, load
from ikectl.config.tree import Files
from ikectl.errors import ConfigErrors


def files_of(contents: Mapping[str, bytes | str]) -> Files:
    def read(path: str) -> bytes:
        try:
            content = contents[posixpath.normpath(path)]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None
        return content.encode() if isinstance(content, str) else content

    def glob(pattern: str) -> list[str]:
        pattern = posixpath.normpath(pattern)
        depth = pattern.count("/")
        return sorted(path for path in contents if path.count("/") == depth and fnmatch.fnmatchcase(path, pattern))

    return Files(read, glob)


def load_text(text: str, name: str = "swanctl.conf", **others: bytes | str) -> Configuration:
    """The file at /etc/NAME; further files are given by path below /etc, `__` standing for a slash."""
    return load(f"/etc/{name}", files_of({f"/etc/{name}": text, **_paths(others)}))


def mistakes(text: str, name: str = "swanctl.conf", **others: bytes | str) -> list[str]:
    """The error texts of a configuration, empty when it is good."""
    try:
        load_text(text, name, **others)
    except ConfigErrors as errors:
        return str(errors).replace("/etc/", "").split("\n")
    return []


def _paths(others: Mapping[str, bytes | str]) -> dict[str, bytes | str]:
    return {"/etc/" + path.replace("__", "/"): content for path, content in others.items()}
