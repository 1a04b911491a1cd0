"""Whether the Hugging Face hub answers, found out within seconds; what is in its cache on this machine.

Its own library asks an unreachable hub again and again, for half a minute, before it says so. Knows no models and no data sets.
`HF_HUB_OFFLINE` and `HF_ENDPOINT` mean what they mean there. Torch-free.
"""

import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType

OFFLINE = "HF_HUB_OFFLINE"
PATIENCE_S = 1.5
"""How long the hub has for its first answer, name look-up included; a line that could carry a model takes a tenth of that. With
the start of the program that makes an answer within 3 s."""
REMEMBERED_S = 60
"""How long an answer, or none, holds: one command asks for several files, and the playground lives for days."""


def why_unreachable() -> str:
    """Why nothing can be had from the hub now, as half a sentence; "" where it answers.

    An answer is remembered for a minute.
    """
    from huggingface_hub import constants  # only where a hub's name was given

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return _probe(constants.ENDPOINT, int(time.monotonic() / REMEMBERED_S))


def is_cached(name: str, kind: str = "model") -> bool:
    """Whether something of that name was downloaded before.

    Args:
        name: Such as "microsoft/codebert-base".
        kind: "model" or "dataset".
    """
    from huggingface_hub import constants

    places = [Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"]
    if kind == "dataset":  # also as tables, which `datasets` keeps under its own names
        tables = os.environ.get("HF_DATASETS_CACHE") or os.path.join(constants.HF_HOME, "datasets")  # noqa: PTH118
        places.append(Path(tables) / name.replace("/", "___"))
    return any(place.is_dir() for place in places)


def snapshot_of(data: str) -> Path | None:
    """The folder of a data set's files in the hub's cache, as `hf download` leaves them; None where there is none.

    Args:
        data: Name on the hub.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(data, repo_type="dataset", local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError):
        return None


@contextmanager
def cache_only(*modules: ModuleType) -> Iterator[None]:
    """Lets the hub's libraries look at what was downloaded and nowhere else, while the block lasts.

    Args:
        modules: Those that hold the libraries' `HF_HUB_OFFLINE`; they read the environment only when they are imported.
    """
    before = [getattr(module, OFFLINE) for module in modules]
    for module in modules:
        setattr(module, OFFLINE, True)
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            setattr(module, OFFLINE, value)


@lru_cache(maxsize=1)
def _probe(endpoint: str, minute: int) -> str:
    """Asks once. In a thread, since a name look-up has no time limit of its own, and can take many times ours."""
    answers: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE_S):
                answers.append("")
        except urllib.error.HTTPError:
            answers.append("")  # it refuses this page, but it is there
        except urllib.error.URLError as error:
            answers.append("" if isinstance(error.reason, ssl.SSLError) else f"{endpoint} cannot be reached: {error.reason}")
        except (OSError, ValueError) as error:
            answers.append(f"{endpoint} cannot be reached: {error}")

    thread = threading.Thread(target=ask, name="hub probe", daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return answers[0] if answers else f"{endpoint} has not answered in {PATIENCE_S:g} s"
