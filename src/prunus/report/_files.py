"""A report on the disk."""

from pathlib import Path

from pydantic import ValidationError

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.report._html import html
from prunus.report._schema import FORMAT, Report


def write(report: Report, folder: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder; the path of the page is returned.

    Each file is written beside and renamed: on a failure the old one is still there, whole.
    """
    files = {"report.json": report.model_dump_json(indent=1), "report.html": html(report)}
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    return folder / "report.html"


def read(folder: Path) -> Report:
    """The report of a run's folder.

    Raises:
        PrunusError: there is none, or it does not hold what a report holds.
    """
    path = folder / "report.json"
    if not path.is_file():
        raise PrunusError(f"{path} is not there; give the --out folder of a finished run")
    try:
        return Report.model_validate(FORMAT.read(path))
    except ValidationError as error:
        raise PrunusError(f"{path} is not a report: {error}") from None
