"""The page of a table of sensitivities."""

from prunus.report import _sensitivity
from prunus.report import _units as show
from prunus.report._page import page, sorting
from prunus.sensitivity import Sensitivity


def sensitivity_page(found: Sensitivity) -> str:
    """A page that opens offline, light or dark, on a phone and on paper; its table sorts."""
    template = "sensitivity.html.jinja"
    return page(template=template, found=found, sensitivity=_sensitivity, show=show, **sorting())
