"""The report of a run: report.json, report.html that opens offline, and the terminal's table."""

from prunus.report._console import comparison as comparison
from prunus.report._console import frontier as frontier
from prunus.report._console import library as library
from prunus.report._console import modules as modules
from prunus.report._console import table as table
from prunus.report._console import tables as tables
from prunus.report._console import training as training
from prunus.report._console import zeroed as zeroed
from prunus.report._console import zeros as zeros
from prunus.report._files import read as read
from prunus.report._files import write as write
from prunus.report._html import html as html
from prunus.report._schema import Report as Report
from prunus.report._sensitive import sensitivity_page as sensitivity_page
from prunus.report._sensitivity import sensitivity_table as sensitivity_table
