"""Pages of one file: the style inside, nothing loaded, whatever comes in escaped; and texts."""

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
    return _environment(package, escaped=True).get_template(template).render(**values)


def plain(template: str, **values: Any) -> str:
    """A template of reports that is no page, filled; nothing in it is escaped."""
    return _environment("prunus.report", escaped=False).get_template(template).render(**values)


def svg(picture: Picture) -> str:
    """A picture as a file of its own, light or dark."""
    return page(template=PICTURE, own=picture)


def sorting() -> dict[str, str]:
    """The script that sorts tables, and the hash by which a page allows no other."""
    script = resources.files("prunus.report").joinpath("sort.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return {"script": script, "allowed": base64.b64encode(digest).decode()}


def _environment(package: str, escaped: bool) -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("prunus.report", "")]),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not escaped,
    )
