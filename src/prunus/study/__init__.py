"""Many runs from one table: a sheet of rows over a recipe, and one list of jobs to go on with.

Reading one imports neither torch nor transformers.
"""

from prunus.study._sheet import Published, Row, read_sheet

__all__ = ["Published", "Row", "read_sheet"]
