"""Pages of one file: the style inside, nothing loaded from anywhere, whatever comes in escaped."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

TEMPLATE = "template.html.jinja"


def page(package: str = "prunus.report", **values: Any) -> str:
    """The template of a package, filled; it shares the style of reports."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("prunus.report", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(**values)
