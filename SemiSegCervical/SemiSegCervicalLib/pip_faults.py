"""Read in what pip printed why it failed, and on which package. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The order matters: without a network pip also says that it found no distribution.
_KINDS = (
    ("disk", r"No space left on device|Errno 28|WinError 112|not enough space on the disk|Disk quota exceeded"),
    ("certificate", r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"),
    (
        "network",
        r"NewConnectionError|NameResolutionError|Failed to establish a new connection|name resolution|"
        r"Name or service not known|getaddrinfo failed|Network is unreachable|Connection refused|ProxyError|"
        r"ConnectTimeoutError|ReadTimeoutError|Read timed out|Connection aborted|ConnectionResetError",
    ),
    ("changed", r"DO NOT MATCH THE HASHES"),
    ("long-path", r"WinError 206|filename or extension is too long|Windows Long Path support"),
    ("in-use", r"WinError 32|WinError 5\b|being used by another process"),
    ("permission", r"Permission denied|Read-only file system|Access is denied"),
    ("conflict", r"ResolutionImpossible|conflicting dependencies"),
    ("no-build", r"No matching distribution found for|satisfies the requirement"),
)
_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
# Where a package is named as the culprit, the surest first.
_CULPRITS = (
    rf"No matching distribution found for {_NAME}",
    rf"satisfies the requirement {_NAME}",
    rf"Cannot install {_NAME}",
    rf"Failed to build (?:installable wheels for )?['\"]?{_NAME}",
    rf"/simple/{_NAME}/",
    rf"site-packages[/\\]+{_NAME}",
)


@dataclass(frozen=True)
class PipFault:
    """Why pip failed.

    Attributes:
        kind: ``disk``, ``certificate``, ``network``, ``changed`` (not the locked file), ``long-path``, ``in-use``,
            ``permission``, ``conflict``, ``no-build``, or ``other``.
        package: the one it failed on, empty where that cannot be told.
        line: its own last word.
    """

    kind: str
    package: str
    line: str


def read_fault(output: str) -> PipFault:
    """Find the reason in all that pip printed, standard output and errors together."""
    # What pip warned of and overcame, such as a connection that it had to try twice, is not why it failed.
    told = "\n".join(re.findall(r"^\s*ERROR.*", output, re.MULTILINE))
    kind = _kind_of(told)
    if kind in ("no-build", "other"):
        kind = _kind_of(output)
    named = next((found.group(1) for pattern in _CULPRITS if (found := re.search(pattern, output))), "")
    if not named:
        begun = re.findall(rf"^\s*Collecting {_NAME}", output, re.MULTILINE)
        named = begun[-1] if begun else ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "Error", "error:"))]
    return PipFault(kind, named, (errors or lines or ["no message"])[-1])


def _kind_of(text: str) -> str:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text, re.IGNORECASE)), "other")
