"""Pages of one file: the style inside, nothing loaded from anywhere, whatever comes in escaped."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from prunus.report._picture import Picture

TEMPLATE = "template.html.jinja"
PICTURE = "picture.svg.jinja"


def page(package: str = "prunus.report", template: str = TEMPLATE, **values: Any) -> str:
    """The template of a package, filled; it shares the style of reports."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("prunus.report", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def svg(picture: Picture) -> str:
    """A picture as a file of its own, light or dark."""
    return page(template=PICTURE, own=picture)


def sorting() -> dict[str, str]:
    """The script that sorts tables, and the hash by which a page allows no other."""
    script = resources.files("prunus.report").joinpath("sort.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return {"script": script, "allowed": base64.b64encode(digest).decode()}
