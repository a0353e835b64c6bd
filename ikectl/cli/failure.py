"""Errors that say what to do next, each with its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from ikectl.vici.client import (
    Client,
    ClientError,
    CommandFailed,
    ConnectionLost,
    NotAllowed,
    NotRunning,
    UnknownCommand,
)


class ExitCode(IntEnum):
    """What a script can tell apart. 2 and 130 are typer's own."""

    DONE = 0
    REFUSED = 1
    """The daemon did not do it, or the peer said no."""
    USAGE = 2
    NO_DAEMON = 3
    """The daemon does not run, does not let us in, or went away."""
    NO_SUCH_NAME = 4
    """No connection, child or SA of that name."""
    BAD_CONFIG = 5
    """The configuration has mistakes; nothing was loaded."""
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 done; 1 the daemon or the peer refused; 2 wrong usage; 3 the daemon cannot be reached; "
    "4 there is no connection, child or SA of that name; 5 the configuration has mistakes and nothing of it "
    "was loaded; 130 interrupted."
)


class Failure(Exception):
    """Ends the program: what is wrong, and what to do about it."""

    def __init__(self, code: ExitCode, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.hint = hint


def refused(error: CommandFailed, doing: str) -> Failure:
    """The daemon's no, with what we were about."""
    return Failure(ExitCode.REFUSED, f"{doing}: {error}")


@contextmanager
def daemon(path: str) -> Iterator[Client]:
    """A client of the daemon at `path`; whatever goes wrong with it becomes a Failure."""
    try:
        with Client(path) as client:
            yield client
    except NotRunning as error:
        raise Failure(
            ExitCode.NO_DAEMON,
            f"ikectld is not running: {error}",
            "start it with: systemctl start ikectld    (or say where it listens: --socket PATH)",
        ) from error
    except NotAllowed as error:
        raise Failure(
            ExitCode.NO_DAEMON,
            str(error),
            "try again with sudo, or become a member of the socket's group",
        ) from error
    except ConnectionLost as error:
        raise Failure(
            ExitCode.NO_DAEMON,
            f"lost the daemon: {error}",
            "see what happened with: journalctl -u ikectld -e",
        ) from error
    except UnknownCommand as error:
        raise Failure(ExitCode.REFUSED, str(error), "compare the versions of both with: ikectl version") from error
    except CommandFailed as error:
        raise Failure(ExitCode.REFUSED, str(error)) from error
    except ClientError as error:
        raise Failure(ExitCode.NO_DAEMON, str(error)) from error
