"""Tables of spreadsheets: their cells, their headers, and faults told by cell."""

import datetime
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from openpyxl import Workbook, load_workbook

from prunus.errors import PrunusError
from prunus.study import _dialects, chosen, read_sheet
from prunus.study._plain import Plain
from prunus.table import Entry, slug, worksheets

ROOT = Path(__file__).parents[2]
LEAST = {"model": "m", "task": {"name": "glue", "subset": "sst2"}}
HEADER = ("name", "budget.density", "seed", "published.drop")
ROWS = (HEADER, ("a", 0.5, 1, -0.3), ("b", 0.25, None, None))


@pytest.fixture
def book(tmp_path):
    """Writes a workbook, or its only worksheet's rows, beside the least recipe."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(LEAST))

    def book(*rows, change=lambda sheet: None, **others):
        made = Workbook()
        made.remove(made.active)
        for name, lines in ({"runs": rows} if rows else {} | others).items():
            sheet = made.create_sheet(name)
            for line in lines:
                sheet.append(line)
            change(sheet)
        made.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return book


def fault(*arguments, **options):
    with pytest.raises(PrunusError) as told:
        read_sheet(*arguments, **options)
    return str(told.value)


def test_a_workbook_says_what_yaml_says(book, tmp_path):
    rows = [
        {"name": "a", "budget.density": 0.5, "seed": 1, "published.drop": -0.3},
        {"name": "b", "budget.density": 0.25},
    ]
    (tmp_path / "sheet.yaml").write_text(yaml.safe_dump({"rows": rows}))
    assert read_sheet(book(*ROWS)) == read_sheet(tmp_path / "sheet.yaml")
    assert [row.columns for row in read_sheet(book(*ROWS))] == [
        {"budget.density": 0.5, "seed": 1, "published.drop": -0.3},
        {"budget.density": 0.25},
    ]


def test_text_is_yaml_and_a_row_may_name_its_recipe(book, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(LEAST | {"seed": 7}))
    lines = [("name", "sites", "recipe", "latency"), ("a", "{grid: 2:4}", "other.yaml", "null")]
    (row,) = read_sheet(book(*lines))
    assert (str(row.recipe.sites[0].grid), row.recipe.seed, row.recipe.latency) == ("2:4", 7, None)
    assert read_sheet(book(*lines), ["seed=3"]).rows[0].recipe.seed == 3
    (tmp_path / "third.yaml").write_text(yaml.safe_dump(LEAST | {"seed": 9}))
    assert read_sheet(book(*lines), recipe="third.yaml").rows[0].recipe.seed == 9


def test_titles_above_the_header_and_blank_rows_say_nothing(book):
    blank = (None,) * 4
    bare = read_sheet(book(*ROWS))
    path = book(("Runs of May",), blank, HEADER, ROWS[1], blank, (" ", None, "", None), ROWS[2])
    assert read_sheet(path) == bare
    assert read_sheet(path, header=3) == read_sheet(path)
    assert "cell A1: unknown column 'Runs of May'" in fault(path, header=1)


def test_cells_merged_downwards_hold_the_first_ones_value(book):
    def merge(sheet):
        sheet.merge_cells("B2:B4")
        sheet.merge_cells("C2:D2")

    lines = [("name", "score", "seed", "device"), ("a", "fisher", 3, None)]
    path = book(*lines, ("b", None, 4, None), (None,) * 4, change=merge)
    one, two = read_sheet(path)
    assert (one.recipe.score["name"], two.recipe.score["name"]) == ("fisher", "fisher")
    assert one.recipe.device == "cpu"


def test_rows_without_names_are_called_by_what_differs(book):
    lines = [("budget.density", "score", "seed"), (0.5, "fisher", 1), (0.25, "obs", 1)]
    names = [row.name for row in read_sheet(book(*lines))]
    assert names == ["density-0.5-score-fisher", "density-0.25-score-obs"]
    told = fault(book(*lines, lines[1]))
    assert "book.xlsx, runs, row 4: two rows are called 'density-0.5-score-fisher'" in told


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("name", "budget.densty"), ("a", 0.5)], "B2: budget.densty: unknown key 'densty'. Did"),
        ([("name", "scroe"), ("a", "obs")], "B1: unknown column 'scroe'. Did you mean 'score'"),
        ([("name", "seed", "seed"), ("a", 1, 2)], "C1: the column 'seed' stands twice"),
        ([("name", "seed"), ("a", 1), ("b", 2), ("A", 3)], "A4: two rows are called 'A', as that"),
        ([("name", "seed"), ("a", None)], "A2: the row 'a' says nothing but its name"),
        ([("name", "seed"), (None, 3)], "A2 is called ''"),
        ([("name", "seed"), ("a/b", 3)], "A2 is called 'a/b'"),
        ([("name", "seed"), ("study.json", 3)], "A2 is called 'study.json'"),
        ([("name", "seed"), ("a", "many")], "B2: seed: Input should be a valid integer"),
        ([("name", "budget.density"), ("a", 7)], "B2: budget.density: Input should be less than"),
        ([("name", "score"), ("a", "fischer")], "B2: score: unknown criterion 'fischer'. Did"),
        ([("name", "score"), ("a", "{name")], "B2: '{name' is no YAML"),
        ([("name", "model.x"), ("a", 1)], "B2: model.x: model.x=...: model is 'm', which has no"),
        ([("name", "recipe"), ("a", "fishr")], "B2: unknown recipe 'fishr'"),
        ([("name", "published.drop"), ("a", "much")], "B2: Input should be a valid number"),
        ([("name", "sites"), ("a", datetime.time(2, 4))], "B2: holds 02:04:00, a date or a time"),
        ([("name", "seed"), ("a", "=1+1")], "B2: holds a formula without its value"),
        ([("name", "seed"), ("a", "#N/A")], "B2: holds the error #N/A"),
    ],
)  # fmt: skip
def test_faults_are_told_by_cell(book, lines, message):
    assert f"book.xlsx, runs, cell {message}" in fault(book(*lines))


def test_every_fault_of_a_table_is_told_at_once(book):
    told = fault(book(HEADER, ("a", 7, "x", None), ("b", -1, 1, "y"), ("a/b", 1, 1, 1)))
    assert sorted(re.findall(r"cell (\w+)", told)) == ["A4", "B2", "B3", "C2", "D3"]


def test_csv_cells_have_addresses_too(tmp_path, book):
    book(*ROWS)
    path = tmp_path / "sheet.csv"
    path.write_text('\ufeffname,budget.density\n\n"a",7\n', encoding="utf-8")
    assert "sheet.csv, cell B3: budget.density: Input" in fault(path)
    path.write_text("name,sites\na,\"{grid: 4x1,\n match: '.*'}\"\n")
    assert str(read_sheet(path).rows[0].recipe.sites[0].match) == ".*"


def test_a_worksheet_is_named_where_several_hold_tables(book):
    path = book(one=ROWS, two=[("name", "seed"), ("c", 1)], notes=[("to do",)])
    assert "book.xlsx has several tables: name one, --sheet 'one' or 'two'" in fault(path)
    assert [row.name for row in read_sheet(path, sheet="two")] == ["c"]
    assert "unknown worksheet 'thre'" in fault(path, sheet="thre")
    assert "notes: no row looks like a header" in fault(path, sheet="notes")
    assert [row.name for row in read_sheet(book(one=ROWS, notes=[("to do",)]))] == ["a", "b"]


def test_a_yaml_sheet_gives_titles_their_keys(book, tmp_path):
    book(
        ("", "of 2020"),
        ("Run", "keeps", "Batch", "EM"),
        ("a", 0.5, 16, 80.1),
        ("dense", None, 16, 81.0),
        ("b", 0.25, 32, None),
    )
    said = {
        "table": "book.xlsx",
        "columns": {"Run": "name", "keeps": "budget.density", "Batch": "calibration.batch_size"},
        "required": ["keeps"],
    }
    path = tmp_path / "sheet.yaml"
    path.write_text(yaml.safe_dump(said))
    assert "cell D2: unknown column 'EM'" in fault(path)
    said["columns"]["EM"] = None
    path.write_text(yaml.safe_dump(said))
    sheet = read_sheet(path)
    assert [(r.name, r.recipe.calibration.batch_size) for r in sheet] == [("a", 16), ("b", 32)]
    assert sheet.rows[0].columns["EM"] == 80.1
    assert sheet.skipped == ("book.xlsx, runs, row 4: it lacks keeps",)
    said["columns"]["Bach"] = None
    path.write_text(yaml.safe_dump(said))
    assert "unknown column 'Bach'. Did you mean 'Batch'" in fault(path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"table": "none.xlsx"}, "none.xlsx is no .csv or .xlsx file"),
        ({"table": "book.xlsx", "rows": [{"name": "a"}]}, "and not both"),
        ({"rows": [{"name": "a"}], "header": 2}, "header: only a `table` has such"),
    ],
)
def test_what_is_no_sheet_of_a_table(book, tmp_path, said, message):
    book(*ROWS)
    (tmp_path / "sheet.yaml").write_text(yaml.safe_dump(said))
    assert message in fault(tmp_path / "sheet.yaml")


def test_a_file_that_is_no_workbook(tmp_path):
    (tmp_path / "book.xlsx").write_text("name,seed\n")
    assert "cannot be read as a workbook" in fault(tmp_path / "book.xlsx")


class Dialect:
    """A header of others: runs have codes, and keep percents."""

    def recognises(self, titles):
        return {"Code", "keeps %"} <= set(titles)

    def entries(self, table):
        for line in table.lines:
            code, keeps = line.cells["Code"], line.cells["keeps %"]
            yield Entry(
                where=line.where,
                name=code.of(slug(code.value, keeps.value)),
                settings={"budget.density": keeps.of(keeps.value / 100)},
                columns={title: cell.held for title, cell in line.said.items()},
            )


def test_tables_of_others_are_read_by_their_dialect(book, monkeypatch):
    monkeypatch.setattr(_dialects, "OTHERS", (f"{__name__}:Dialect",))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Dialect.__module__])
    path = book(("2020",), ("", "Code", "keeps %"), (None, "B 1*", 50), (None, "B 1*", 25))
    rows = read_sheet(path).rows
    assert [row.name for row in rows] == ["B-1-50", "B-1-25"]
    assert [row.recipe.budget["density"] for row in rows] == [0.5, 0.25]
    assert "cell C3: budget.density: " in fault(book(("Code", "", "keeps %"), (), ("a", "", 900)))


@pytest.fixture
def rows(book):
    lines = [("name", "seed", "budget.density", "device"), ("a-1", 1, 0.5, "cpu")]
    return read_sheet(book(*lines, ("a-2", 2, 0.45, "cuda:0"), ("b", 3, 0.4519, "3E4"))).rows


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ([], ["a-1", "a-2", "b"]),
        (["a-*"], ["a-1", "a-2"]),
        (["b", "a-1"], ["a-1", "b"]),
        (["budget.density=.5"], ["a-1"]),
        (["budget.density=0.45"], ["a-2"]),
        (["budget.density=0.452"], ["b"]),
        (["seed=3,budget.density=0.4519"], ["b"]),
        (["device=cuda*"], ["a-2"]),
        (["device=3E4"], ["b"]),
        (["device=3E4", "seed = 1"], ["a-1", "b"]),
    ],
)
def test_rows_are_chosen(rows, selectors, names):
    assert [row.name for row in chosen(rows, selectors)] == names


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("a-3", "unknown row 'a-3'. Did you mean 'a-2' or 'a-1'"),
        ("seeds=1", "unknown column 'seeds'. Did you mean 'seed'"),
        ("seed=1,device=cuda:0", r"unknown seed '1'. Known: 2. .in 'seed=1,device=cuda:0'"),
        ("budget.density=.55", "unknown budget.density '.55'"),
    ],
)
def test_choosing_nothing_is_an_error(rows, selector, message):
    with pytest.raises(PrunusError, match=message):
        chosen(rows, [selector])


def _after(code):
    """What a fresh Python prints at the end of some code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_workbook_is_read_without_pandas_and_torch(book):
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from pathlib import Path\n"
        "import prunus.study\n"
        "from prunus.study import _dialects, _plain\n"
        f"path = Path({str(book(*ROWS))!r})\n"
        "print(*(one.name.value for one in _dialects.entries(path, None, None, _plain.Plain())))\n"
        "print(*({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert _after(code) == ["a", "b"]


def test_a_plain_install_reads_workbooks(book, tmp_path, monkeypatch):
    """The wheel alone, beside what it depends on, and without what it does not."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {re.match(r"[\w-]+", one)[0] for one in said["dependencies"]}
    assert {"openpyxl", "filelock"} <= plain
    assert "pandas" not in plain
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("prunus-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    path = book(*ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import prunus\n"
        "from pathlib import Path\n"
        "from prunus.study import _dialects, _plain\n"
        "from prunus.recipe._shipped import shipped\n"
        "print(prunus.__file__, 'splopa' in set(shipped()))\n"
        f"found = _dialects.entries(Path({str(path)!r}), None, None, _plain.Plain())\n"
        "print(*(one.name.value for one in found))"
    )
    where, shipped, *names = _after(code)
    assert where.startswith(str(tmp_path / "site"))
    assert shipped == "True"
    assert names == ["a", "b"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_nothing_but_torch_brings_an_openmp_runtime(book):
    code = (
        f"from prunus.study import read_sheet\nread_sheet({str(book(*ROWS))!r})\n"
        "import prunus, torch, transformers, prunus.study._run\n"
        "print(open('/proc/self/maps').read())"
    )
    files = {word for word in _after(code) if re.search(r"/lib(gomp|iomp|omp)[^/]*$", word)}
    assert len(files) == 1
    assert "torch" in files.pop()


@pytest.mark.data
@pytest.mark.parametrize(
    ("task", "lines", "models"), [("SQuAD", 98, 13), ("MNLI", 93, 10), ("QQP", 73, 9)]
)
def test_a_published_sheet_is_read_as_it_is(task, lines, models):
    """Groups of rows are merged cells: as many as there are, and the dense model."""
    path = Path(os.environ.get("PRUNUS_DATA", "")) / "hparams" / "hyperparameters.xlsx"
    if not path.is_file():
        pytest.skip("PRUNUS_DATA is not set, or holds no such sheet")
    table = worksheets(path)[f"Details - {task}"].below(1)
    assert (table.name, len(table.lines)) == (f"Details - {task}", lines)
    assert len({line.said["Model"].value for line in table.lines if "Model" in line.said}) == models
    assert ("acc 2" in table.titles) == (task == "MNLI")
    assert table.lines[1].said["EXP ID"].where == f"{path.name}, Details - {task}, cell D5"
    own = Plain(dict.fromkeys(table.titles) | {"final_threshold": "budget.density"})
    assert len([one for one in own.entries(table) if one.settings]) > 0.7 * lines


def test_what_openpyxl_writes_is_what_is_read(book):
    path = book(*ROWS)
    held = [[cell.held for cell in row] for row in worksheets(path)["runs"].rows]
    there = load_workbook(path)["runs"].iter_rows(values_only=True)
    assert held == [list(row) for row in there]
