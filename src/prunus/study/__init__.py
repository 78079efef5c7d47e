"""Many runs from one table: a sheet of rows over a recipe, and one list of jobs to go on with.

Reading one imports neither torch nor transformers.
"""

from prunus.study._chosen import chosen
from prunus.study._row import Published, Row
from prunus.study._sheet import Sheet, read_sheet

__all__ = ["Published", "Row", "Sheet", "chosen", "read_sheet"]
