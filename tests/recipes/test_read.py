import re

import pytest
import yaml

from prunus.errors import PrunusError
from prunus.notation import line, load
from prunus.recipe import Grid, Latency, read, read_task, read_training, shipped
from prunus.recipe._parts import parts, resolved
from prunus.study import read_sheet

LEAST = {"model": "m", "task": {"name": "glue", "subset": "sst2"}}


@pytest.fixture
def write(tmp_path):
    def write(text=None, /, **keys):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(LEAST | keys) if text is None else text)
        return path

    return write


def fault(source, *overrides):
    with pytest.raises(PrunusError) as told:
        read(source, overrides)
    return str(told.value)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_is_sound(name):
    said = yaml.safe_load(shipped()[name].read_text())
    if "rows" in said:
        assert read_sheet(name)
    else:
        trains = "training" in said and "drive" not in said
        assert (read_training if trains else read)(name).model
    assert (shipped()[name].parent / "README.md").read_text().startswith(f"# {name.split('/')[0]}")


def test_the_quickstart_trains_and_prunes_the_same_task():
    assert read("quickstart").task == read_training("quickstart/train").task


def test_the_least_recipe_has_sensible_defaults(write):
    recipe = read(write())
    assert recipe.sites == ("heads", "neurons")
    assert recipe.score == {"name": "obs"}
    assert recipe.select == {"name": "curves"}
    assert recipe.drive == {"name": "oneshot"}
    assert recipe.recover == ({"name": "input_map"}, {"name": "least_squares"})
    assert recipe.latency == Latency(batch=(1, 8))
    chosen = parts(recipe)
    assert (chosen.budget.density, chosen.budget.metric) == (0.5, "flops")


def test_names_mappings_and_single_entries_are_the_same(write):
    short = read(
        write(score="magnitude", sites="heads", recover="least_squares", latency={"batch": 4})
    )
    long = read(
        write(
            score={"name": "magnitude"},
            sites=["heads"],
            recover=[{"name": "least_squares"}],
            latency={"batch": [4]},
        )
    )  # fmt: skip
    assert short == long


def test_grids_stand_among_the_sites(write):
    recipe = read(write(sites=["heads", {"grid": [4, 1], "match": ".*query"}]))
    assert recipe.sites == ("heads", Grid(grid=(4, 1), match=".*query"))


@pytest.mark.parametrize("pattern", ["2:4", "1:2", "4:8", "16:32"])
def test_patterns_need_no_quotes(write, pattern):
    text = yaml.safe_dump(LEAST) + "sites: {grid: %s}\n"
    (grid,) = read(write(text % pattern)).sites
    (same,) = read(write(text % "1x1"), [f"sites.grid={pattern}"]).sites
    assert str(grid.grid) == str(same.grid) == pattern


def test_the_resolved_recipe_says_everything_and_reads_as_the_same(write, tmp_path):
    first = read(write(latency=None, score={"name": "random"}, seed=7))
    full = resolved(first, parts(first))
    assert full["score"] == {"name": "random", "normalize": "none", "seed": 7}
    assert full["recover"][1] == {"name": "least_squares", "ridge": 0.03, "bias": True}
    assert full["budget"]["scope"] == "global"
    assert full["latency"] is None
    (tmp_path / "full.yaml").write_text(yaml.safe_dump(full))
    again = read(tmp_path / "full.yaml")
    assert resolved(again, parts(again)) == full


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("latency=null", ("latency",), None),
        ("budget.density=.25", ("budget", "density"), 0.25),
        ("budget.metric=params", ("budget", "metric"), "params"),
        ("score=magnitude", ("score", "name"), "magnitude"),
        ("score.temperature=3", ("score", "temperature"), 3.0),
        ("recover.1.ridge=1e-2", ("recover", 1, "ridge"), 0.01),
        ("recover=[]", ("recover",), []),
        ("sites=[neurons]", ("sites",), ["neurons"]),
        ("latency.batch=4", ("latency", "batch"), [4]),
        ("task.subset=mrpc", ("task", "subset"), "mrpc"),
        ("budget.rules=[{match: heads, floor: .5}]", ("budget", "rules", 0, "floor"), 0.5),
    ],
)
def test_settings_from_the_command_line(write, change, key, value):
    recipe = read(write(), [change])
    found = resolved(recipe, parts(recipe))
    for step in key:
        found = found[step]
    assert found == value


def test_a_setting_leaves_the_defaults_beside_it(write):
    recipe = read(write(), ["budget.metric=params", "latency.pairs=3"])
    assert parts(recipe).budget.density == 0.5
    assert recipe.latency == Latency(pairs=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "'seed' is no setting; write key=value"),
        ("=3", "'=3' is no setting"),
        ("budget..density=1", "no setting"),
        ("x=[", r"the value is no YAML"),
        ("budgte.density=1", "unknown key 'budgte'. Did you mean 'budget'"),
        ("model.size=1", "model is 'm', which has no keys"),
        ("recover.2.ridge=2", "'2' is no place in a list of 2"),
        ("recover.first=2", "'first' is no place in a list"),
        ("budget.densty=.4", "budget.densty: unknown key 'densty'. Did you mean 'density'"),
        ("score.tempera=3", "score.tempera: unknown key 'tempera'. Did you mean 'temp"),
        ("drive.x=1", "drive.x: unknown key 'x'. Known: teacher"),
    ],
)
def test_settings_that_cannot_be(write, change, message):
    assert message in fault(write(), change)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scor": "fisher"}, "scor: unknown key 'scor'. Did you mean 'score'"),
        ({"score": "knowled"}, "score: unknown criterion 'knowled'. Did you mean 'knowledge'"),
        ({"drive": "swep"}, "drive: unknown drive 'swep'. Did you mean 'sweep'"),
        ({"recover": ["least_square"]}, "recover.0: unknown repair 'least_square'. Did you mean"),
        ({"task": "gleu"}, "task: unknown task 'gleu'. Did you mean 'glue'"),
        ({"task": {"subset": "sst2"}}, "task: expected a name, or a mapping with the key 'name'"),
        ({"task": "glue"}, "task.subset: this key is required"),
        ({"task": {"name": "glue", "subset": "sst"}}, "unknown GLUE subset 'sst'. Did you mean"),
        ({"sites": ["heds"]}, "sites.0: unknown site kind 'heds'. Did you mean 'heads'"),
        ({"sites": []}, "sites: nothing may go"),
        ({"sites": [3]}, "sites.0: expected a kind of site"),
        ({"sites": {"grid": [4, 1], "mach": "x"}}, "unknown key 'mach'. Did you mean 'match'"),
        ({"sites": {"grid": [4, 1], "match": "("}}, "'(' is no regular expression"),
        ({"budget": {"density": 0}}, "budget.density: Input should be greater than 0 (got 0); a d"),
        ({"budget": {"density": 1.5}}, "budget.density: Input should be less than or equal to 1"),
        ({"budget": {"density": 50}}, "a density is the fraction that stays, above 0 and at most"),
        ({"budget": {"density": "half"}}, "budget.density: Input should be a valid number"),
        ({"budget": {}}, "budget: say how much may stay by one of density (0.5), speedup (2), m"),
        ({"budget": 0.5}, "budget: Input should be a valid dictionary"),
        ({"budget": {"density": 0.5, "rules": [{"mtach": "x"}]}}, "budget.rules.0.mtach: unknown"),
        ({"recover": [{"name": "least_squares", "rigde": 1}]}, "recover.0.rigde: unknown key"),
        ({"score": {"name": "magnitude", "norm": "l3"}}, "score.norm: Input should be 'l1' or"),
        ({"score": "nosuch:Part"}, "score: 'nosuch:Part': No module named 'nosuch'"),
        ({"score": "pathlib:Path"}, "score: 'pathlib:Path' is not a class derived from"),
        ({"calibration": {"sample": 3}}, "calibration.sample: unknown key 'sample'. Did you mean"),
        ({"latency": {"batch": 0}}, "latency.batch.0: Input should be greater than 0"),
        ({"model": None}, "model: Input should be a valid string"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place_and_the_nearest_names(write, keys, message):
    told = fault(write(**keys))
    assert message in told
    assert "recipe.yaml:\n" in told


def test_every_fault_is_told_at_once(write):
    told = fault(
        write(scor="x", drive="swep", budget={"density": 2, "metrc": "flops"}), "score.lam=3"
    )
    found = [line.split(":")[0].strip() for line in told.splitlines()[1:]]
    assert sorted(found) == ["budget.density", "budget.metrc", "drive", "scor", "score.lam"]
    assert told.splitlines()[0].endswith("recipe.yaml score.lam=3:")


def test_what_is_required_is_told(write):
    told = fault(write("seed: 1\n"))
    assert "model: this key is required" in told
    assert "task: this key is required" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "is not YAML"),
        ("- a\n", "holds no keys"),
        ("", "holds no keys"),
        ("model: a\nmodel: b\n", "the key 'model' stands twice"),
        ("model: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    ],
)
def test_what_is_no_recipe(write, text, message):
    assert message in fault(write(text))


def test_binary_is_no_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not YAML" in fault(tmp_path / "recipe.yaml")


def test_training_recipes_are_read_and_refused(write):
    path = write(training={"epochs": 1, "learnin_rate": 1, "scheduler": "linea"})
    with pytest.raises(PrunusError, match=r"training\.learnin_rate: .*'learning_rate'") as told:
        read_training(path)
    assert "training.scheduler: unknown scheduler 'linea'. Did you mean 'linear'" in str(told.value)
    assert "training: only drive: gradual and stepwise train" in fault(path)


def test_the_task_of_any_recipe(write):
    assert read_task(write()) == LEAST["task"]
    assert read_task("quickstart/train") == read("quickstart").task
    with pytest.raises(PrunusError, match="the key 'task' is missing"):
        read_task(write("model: m\n"))


def test_recipes_by_file_folder_and_name(write, tmp_path, monkeypatch):
    path = write()
    assert read(path) == read(tmp_path) == read(str(tmp_path))
    with pytest.raises(PrunusError, match=r"unknown recipe 'kprun'\. Did you mean 'kprune'"):
        read("kprun")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PrunusError, match=re.escape("empty is a folder without recipe.yaml")):
        read(tmp_path / "empty")


def test_recipes_are_found_in_a_wheel(tmp_path, monkeypatch):
    inside = tmp_path / "recipes" / "mine"
    inside.mkdir(parents=True)
    (inside / "recipe.yaml").write_text(yaml.safe_dump(LEAST))
    monkeypatch.setattr("prunus.recipe._shipped.HERE", tmp_path)
    assert list(shipped()) == ["mine"]
    assert read("mine").model == "m"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:4", "2:4"),
        ("16:32", "16:32"),
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("[4, 1]", [4, 1]),
        ("true", True),
    ],
)
def test_a_run_of_neighbours_is_no_number_of_seconds(text, value):
    assert load(text) == value
    assert load(line(value)) == value
