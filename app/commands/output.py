"""How commands print, whatever the encoding of the terminal is."""

import io
import sys
from collections.abc import Mapping
from typing import Any


def escape_unknown_characters() -> None:
    """From now on a character that the encoding of standard output lacks is printed as an escape, such as `\\u2192`.

    Otherwise such a character ends the command with a UnicodeEncodeError. Standard error does so by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where standard output is closed
        sys.stdout.reconfigure(errors="backslashreplace")


def print_document(text: str) -> None:
    """Print a document that programs read, such as SVG or CSV: in UTF-8, as it is written to a file or a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    print(text, end="")


def refusal(status: int, problem: Mapping[str, Any]) -> str:
    """A problem that the service answered, in one line: each member that is wrong and why, else the detail."""
    faults = [f"{fault['field']}: {fault['detail']}" for fault in problem.get("errors", ())]
    return f"{status} {problem.get('code')}: {'; '.join(faults) or problem.get('detail')}"
