"""Progress in lines that a log file keeps."""

import time
from collections.abc import Callable

from rich.console import Console


def narrator(*, leads: bool = True) -> Callable[[str], None]:
    """Prints with the seconds since it was made; silent where another process leads."""
    console, began = Console(highlight=False), time.monotonic()

    def say(text: str) -> None:
        if leads:
            console.print(f"{time.monotonic() - began:6.1f} s  {text}", soft_wrap=True)

    return say
