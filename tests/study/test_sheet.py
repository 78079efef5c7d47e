"""Reading sheets: rows over a recipe, in YAML and CSV, and every fault of every row."""

import pytest
import yaml

from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.study import read_sheet

LEAST = {"model": "m", "task": {"name": "glue", "subset": "sst2"}}


@pytest.fixture
def sheet(tmp_path):
    """Writes a sheet beside the least recipe."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(LEAST))

    def sheet(text, name="sheet.yaml"):
        (tmp_path / name).write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return tmp_path / name

    return sheet


def fault(*arguments):
    with pytest.raises(PrunusError) as told:
        read_sheet(*arguments)
    return str(told.value)


def test_a_row_is_the_recipe_with_its_settings(sheet, tmp_path):
    path = sheet(
        """
        rows:
          - name: blocks
            model: other
            sites: {grid: 2:4}
            budget.density: .5
            published: {dense: .9, ratio: .5}
          - {name: units, budget: {density: .25, metric: units}, score: magnitude, select: greedy}
        """
    )
    one, two = read_sheet(path)
    assert one.name == "blocks"
    assert one.recipe == read(
        tmp_path / "recipe.yaml", ["model=other", "sites={grid: '2:4'}", "budget.density=.5"]
    )
    assert str(one.recipe.sites[0].grid) == "2:4"
    assert (one.published.dense, one.published.ratio, one.published.pruned) == (0.9, 0.5, None)
    assert two.recipe.budget == {"density": 0.25, "metric": "units"}
    assert two.recipe.model == "m"


def test_settings_of_the_command_line_come_last(sheet):
    path = sheet({"rows": [{"name": "a", "seed": 1}, {"name": "b", "seed": 2}]})
    assert [row.recipe.seed for row in read_sheet(path)] == [1, 2]
    assert [row.recipe.seed for row in read_sheet(path, ["seed=3"])] == [3, 3]


def test_a_table_says_the_same(sheet):
    rows = [
        {"name": "a", "budget.density": 0.5, "sites": {"grid": "2:4"}, "published.drop": -0.3},
        {"name": "b", "budget.density": 1e-5, "latency": None, "model": "x y"},
    ]
    table = (
        "name,budget.density,sites,published.drop,latency,model\n"
        "a,.5,{grid: 2:4},-.3,,\n"
        "b,0.00001,,,null,x y\n"
    )
    assert read_sheet(sheet(table, "sheet.csv")) == read_sheet(sheet({"rows": rows}))


def test_a_sheet_and_a_row_may_name_recipes(sheet, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(LEAST | {"seed": 7}))
    path = sheet(
        {"recipe": "other.yaml", "rows": [{"name": "a"}, {"name": "b", "recipe": "magnitude"}]}
    )
    one, two = read_sheet(path)
    assert one.recipe.seed == 7
    assert two.recipe == read("magnitude")
    assert "unknown recipe 'magnitud'" in fault(
        sheet({"rows": [{"name": "a", "recipe": "magnitud"}]})
    )


def test_every_fault_of_every_row_is_told(sheet):
    path = sheet(
        {
            "rows": [
                {"name": "a", "budget.densty": 0.5, "score": "fischer"},
                {"name": "b"},
                {"name": "c", "published": {"rato": 1}},
                {"name": "d", "sites": "{grid"},
            ]
        }
    )
    told = fault(path)
    assert "row 1, a:" in told
    assert "unknown key 'densty'" in told
    assert "Did you mean 'fisher'" in told
    assert "row 2" not in told
    assert "row 3, c: published.rato: unknown key 'rato'. Did you mean 'ratio'" in told
    assert "row 4, d:" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: []", "rows: "),
        ("rows: 3", "rows: "),
        ("recipe: pattern", "needs the key `rows`"),
        ("- 1", "needs the key `rows`"),
        ("rows: [{name: a}]\nrow: 3", "unknown key 'row'. Did you mean 'rows'"),
        ("rows: [{model: x}]", "row 1 is called ''"),
        ("rows: [{name: a/b}]", "row 1 is called 'a/b'"),
        ("rows: [{name: ..}]", "row 1 is called '..'"),
        ("rows: [{name: a}, {name: a}]", "two rows are called 'a'"),
        ("rows: [", "cannot be read"),
        ("rows: [{name: a, name: b}]", "the key 'name' stands twice"),
        ("rows: [{name: a, published: 3}]", "published: expected a mapping"),
        ("rows: [{name: a, out: x}]", "out: every row has a folder of its name"),
    ],
)
def test_what_is_no_sheet(sheet, text, message):
    assert message in fault(sheet(text))


def test_a_table_with_a_ragged_row_is_no_sheet(sheet):
    assert "as many cells as the header" in fault(sheet("name,seed\na,1,2\n", "sheet.csv"))
    assert "as many cells as the header" in fault(sheet("name,seed\na\n", "sheet.csv"))


def test_a_sheet_is_no_recipe(sheet):
    with pytest.raises(PrunusError, match="is a sheet of many runs: use `prunus study"):
        read(sheet({"rows": [{"name": "a"}]}))
