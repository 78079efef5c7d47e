"""Pages in a browser: it complains of nothing, and asks nobody for anything."""

import json
import re
import shutil
import subprocess

import pytest

from prunus.cli import main
from prunus.report import html, sensitivity_page, write
from tests.report.sample import sample
from tests.report.test_sensitivity import table

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
OWN = ("chrome:", "chrome-extension:", "data:", "about:", "devtools:")
BROWSERS_OWN = re.compile(r"google|gvt1\.com")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@pytest.fixture
def pages(tmp_path):
    for place, name in enumerate(("one", "two")):
        write(sample(), tmp_path / name)
        report = json.loads((tmp_path / name / "report.json").read_text())
        report["quality"]["pruned"] += place
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    main(["compare", str(tmp_path / "one"), str(tmp_path / "two"),
          "--out", str(tmp_path / "compare.html")])  # fmt: skip
    (tmp_path / "report.html").write_text(html(sample()))
    (tmp_path / "sensitivity.html").write_text(sensitivity_page(table()))
    return tmp_path


@pytest.mark.parametrize("size", ["1280,900", "390,844"])
@pytest.mark.parametrize("name", ["report", "compare", "sensitivity"])
def test_a_page_is_quiet(name, size, pages):
    log, page = pages / "log.json", pages / f"{name}.html"
    done = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={pages / 'profile'}", f"--window-size={size}",
            "--enable-logging=stderr", "--v=0", f"--log-net-log={log}",
            "--net-log-capture-mode=Everything", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "</html>" in done.stdout
    assert ":CONSOLE" not in done.stderr, done.stderr
    assert asked(log) <= {page.as_uri()}


def test_the_console_is_heard(pages):
    """Else a page could not be found to be noisy."""
    page = pages / "report.html"
    text = page.read_text()
    page.write_text(text.replace("</body>", "<img src='https://example.org/x.png'></body>"))
    with pytest.raises(AssertionError):
        test_a_page_is_quiet("report", "1280,900", pages)


def asked(log) -> set[str]:
    """The addresses that a page had the browser look for."""
    events = json.loads(log.read_text())["events"]
    urls = {str(event.get("params", {}).get("url", "")) for event in events}
    return {url for url in urls if url and not url.startswith(OWN) and not BROWSERS_OWN.search(url)}
