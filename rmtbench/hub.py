"""Whether the model and data hub can be reached: asked once a process, for at most three seconds.

Without it the hub's libraries would try each file again and again, for a minute, and print every try.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from functools import cache
from urllib.parse import urlsplit

from rmtbench.options import flag

SECONDS = 3.0
"""How long an answer is waited for."""
NEEDS = (
    "a hub id needs the network or a filled hub cache (HF_HUB_OFFLINE=1); "
    f"mini, smollm2 and {flag.model} openai:NAME need neither"
)
"""What to do without it, behind what is said of a model."""


def hub_is_off() -> bool:
    """Whether the hub's libraries are told to look in their caches only."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def look_for_hub() -> bool:
    """Ask whether the hub answers; if it does not, let its libraries look in their caches only.

    Call it before anything that would ask the hub for a file.

    Returns:
        Whether the hub can be asked.
    """
    if hub_is_off():
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # only the proxy knows
    if _answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"):
        return True
    os.environ["HF_HUB_OFFLINE"] = "1"
    # What is loaded already has read the variable.
    for module in ("huggingface_hub.constants", "datasets.config"):
        if module in sys.modules:
            sys.modules[module].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    return False


@cache
def _answers(address: str) -> bool:
    """Whether something takes a connection there. In a thread: looking a name up has no time limit of its own."""
    parts = urlsplit(address)
    place = (parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    taken = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(place, timeout=SECONDS).close()
        except OSError:
            return
        taken.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return taken.is_set()
