"""The hub, where models and data can be downloaded from."""

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation

HUB = "https://huggingface.co"
PATIENCE = 5
"""Seconds."""
WHY = "models and data must be local folders, installed packages, or downloaded before"


def check(here: Installation) -> Iterator[Finding]:
    """Asks for one page, unless the hub is switched off."""
    if here.on("HF_HUB_OFFLINE"):
        yield Finding("the hub is switched off (HF_HUB_OFFLINE)", WHY, fault=False)
        return
    where = here.environment.get("HF_ENDPOINT") or HUB
    problem = unreachable(where)
    if problem:
        yield Finding(
            what=f"{where} cannot be reached: {problem}",
            why=WHY,
            mend=("export HF_HUB_OFFLINE=1",),
            fault=False,
        )


def unreachable(where: str) -> str:
    """Why a server does not answer, or "". An error page is an answer."""
    try:
        with urlopen(Request(where, method="HEAD"), timeout=PATIENCE):
            return ""
    except HTTPError:
        return ""
    except (OSError, ValueError) as error:  # no route, no name, no time; or no address at all
        return str(getattr(error, "reason", error))
