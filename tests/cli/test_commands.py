import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
import yaml

import prunus
from prunus.anatomy import anatomy
from prunus.plan import Plan
from prunus.probe.work import flops
from prunus.recipe import shipped
from prunus.report import _units as show
from tests.tiny import FAMILIES, tiny


def test_run_prints_the_table_and_the_paths(place, prunus_, tmp_path):
    code, out, err = prunus_(
        "run", place / "recipe.yaml", "budget.density=.7", "--out", tmp_path / "out"
    )
    assert (code, err) == (0, "")
    assert "accuracy" in out
    assert "FLOPs" in out
    assert out.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    settings = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert settings["budget"]["density"] == 0.7


def test_run_makes_it_portable(place, prunus_, tmp_path):
    small = ("latency=null", "evaluation.baselines=false", "--portable", "--out", tmp_path / "out")
    code, out, err = prunus_("run", place / "recipe.yaml", *small)
    assert (code, err) == (0, "")
    assert "model opened by: transformers with trust_remote_code=True, or prunus" in out
    assert yaml.safe_load((tmp_path / "out/recipe.yaml").read_text())["portable"] is True
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["equivalence"]["reloaded_vs_shrunk"] == 0
    assert "trust_remote_code" in prunus_("show", tmp_path / "out/model")[1]


def test_save_changes_the_form_and_keeps_what_lies_beside(prunus_, finished, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(finished / "model", source)
    beside = {"1_Pooling/config.json": "{}", "tokenizer.json": None, "chat_template.jinja": "{}"}
    for name, text in beside.items():
        (source / name).parent.mkdir(exist_ok=True)
        if text is not None:
            (source / name).write_text(text)
    assert prunus_("save", source, tmp_path / "portable", "--portable")[:2] == (
        0,
        f"model:     {tmp_path / 'portable'}\n"
        "opened by: transformers with trust_remote_code=True, or prunus\n",
    )
    assert (tmp_path / "portable/modeling_prunus.py").exists()
    code, out, _ = prunus_("save", tmp_path / "portable", tmp_path / "back")
    assert (code, out.splitlines()[-1]) == (
        0,
        "opened by: prunus (import prunus, then from_pretrained)",
    )
    names = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    back = tmp_path / "back"
    assert {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()} == names
    for name in names:
        assert (back / name).read_bytes() == (source / name).read_bytes(), name


def test_save_packs_and_unpacks(prunus_, finished, tmp_path):
    model = prunus.load(finished / "model")
    sites = anatomy(model).grid(".*(query|key|value)", "8x1", indivisible="skip")
    plan = Plan(
        {
            name: torch.arange(site.units).reshape(site.shape) % 4 == 0
            for name, site in sites.items()
        }
    )
    zeroed = prunus.shrink(model, plan, sites)
    prunus.save(zeroed, tmp_path / "zeroed")
    code, out, err = prunus_("save", tmp_path / "zeroed", tmp_path / "packed", "--packed")
    opened = "prunus (import prunus, then from_pretrained), which unpacks its weights"
    assert (code, err) == (0, "")
    assert out == f"model:     {tmp_path / 'packed'}\nopened by: {opened}\n"
    assert prunus_("save", tmp_path / "packed", tmp_path / "back")[0] == 0
    zeroed, packed, back = (prunus_("show", tmp_path / n)[1] for n in ("zeroed", "packed", "back"))
    assert opened in packed
    assert zeroed == back
    assert packed.partition("work:")[2] == back.partition("work:")[2]
    code, _, err = prunus_("save", finished, tmp_path / "nothing", "--packed")
    assert code == 2
    assert "hold no zeros whose place could be saved" in " ".join(err.split())


def test_show_tells_what_is_gone_and_what_is_zeros(prunus_, tmp_path):
    model = tiny("bert", layers=3)
    kept = {f"encoder.layer.{i}:heads": torch.arange(4) > i for i in (0, 1)}
    small = prunus.shrink(model, Plan(kept))
    with torch.no_grad():
        small.bert.encoder.layer[2].intermediate.dense.weight.zero_()
    prunus.save(small, tmp_path)
    batch = {"input_ids": torch.ones(1, 16, dtype=torch.long)}
    whole, left = flops(model, batch), flops(small, batch)
    zeros = 2 * 16 * 24 * 32 / left
    out = " ".join(prunus_("show", tmp_path)[1].split())
    assert f"{show.scaled(left, 'FLOPs')} at 16 tokens" in out
    assert f"{show.percent(1 - left / whole)} of the dense model's FLOPs are gone" in out
    assert f"{show.percent(zeros)} of those that are left multiply zeros" in out
    assert "encoder.layer.2.intermediate.dense" in out


def test_show_a_network_that_wants_other_inputs(prunus_, tmp_path, monkeypatch):
    prunus.save(tiny("bert"), tmp_path)

    def broken(*_, **__):
        raise ValueError("no such input")

    monkeypatch.setattr(transformers.BertModel, "forward", broken)
    code, out, _ = prunus_("show", tmp_path)
    assert code == 0
    assert "not counted: it does not run on random inputs (no such input)" in " ".join(out.split())
    assert "24" in out


def test_train_goes_on_with_a_portable_checkpoint(place, prunus_, finished, tmp_path):
    prunus_("save", finished, tmp_path / "portable", "--portable")
    task = yaml.safe_load((place / "recipe.yaml").read_text())["task"]
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({"model": str(tmp_path / "portable"), "task": task}))
    assert prunus_("train", path, "training.max_steps=2", "--out", tmp_path / "on")[0] == 0
    before, after = (prunus.load(folder) for folder in (finished / "model", tmp_path / "on"))
    assert after.config.prunus == before.config.prunus
    moved = before.classifier.weight - after.classifier.weight
    assert 0 < moved.norm() < before.classifier.weight.norm() / 2


def test_save_says_that_a_plain_checkpoint_needs_nothing(place, prunus_, tmp_path):
    code, out, _ = prunus_("save", place / "dense", tmp_path / "plain", "--portable")
    assert (code, out.splitlines()[-1]) == (0, "opened by: plain transformers")
    assert not (tmp_path / "plain/modeling_prunus.py").exists()


def test_run_as_a_process_goes_where_the_recipe_says(place, tmp_path):
    command = [sys.executable, "-c", "from prunus.cli import main; raise SystemExit(main())"]
    settings = ["latency=null", f"out={tmp_path / 'said'}", "--quiet"]
    done = subprocess.run(
        [*command, "run", str(place / "recipe.yaml"), *settings], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "said" / "report.json").exists()


def test_run_makes_a_folder_of_its_own(place, prunus_, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr("prunus.recipe.run.run", lambda _, out, *__: seen.update(out=out))
    assert prunus_("run", place / "recipe.yaml", "--quiet")[0] == 0
    assert str(seen["out"]) == f"runs/{place.name}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["--baselines"], ("random", "narrower", "shallower", "bfloat16", "int8")),
        (["--baselines", "compare=int8"], ("int8",)),
        ([], ()),
    ],
)
def test_run_measures_baselines_on_request(place, prunus_, monkeypatch, said, expected):
    seen = []
    monkeypatch.setattr("prunus.recipe.run.run", lambda recipe, *_: seen.append(recipe.compare))
    assert prunus_("run", place / "recipe.yaml", "--quiet", *said)[0] == 0
    assert seen == [expected]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["--max-loss", "1pt"], {"max_loss": "1pt", "metric": "flops", "floor": 0.1}),
        (["--speedup", "2"], {"speedup": 2.0, "metric": "latency", "floor": 0.1}),
        (["--max-bytes", "40kB"], {"max_bytes": "40kB", "floor": 0.1}),
        (["--speedup", "2", "budget.metric=flops"], {"speedup": 2, "metric": "flops"}),
        (["--max-loss", "1pt", "budget.metric=params"], {"max_loss": "1pt", "metric": "params"}),
        ([], {"density": 0.5, "of": "sites"}),
    ],
)
def test_run_asks_for_other_amounts(place, prunus_, monkeypatch, tmp_path, said, expected):
    path = tmp_path / "recipe.yaml"
    recipe = yaml.safe_load((place / "recipe.yaml").read_text())
    budget = {"density": 0.5, "metric": "flops", "of": "sites", "floor": 0.1}
    path.write_text(yaml.safe_dump(recipe | {"budget": budget}))
    seen = []
    monkeypatch.setattr("prunus.recipe.run.run", lambda recipe, *_: seen.append(recipe.budget))
    assert prunus_("run", path, "--quiet", *said)[0] == 0
    assert "density" in expected or "density" not in seen[0]
    assert expected.items() <= seen[0].items()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["--max-loss", "1%"], "'1%' is no loss: write 1pt"),
        (["--max-bytes", "50"], "'50' is no size: write 50MB"),
        (["--max-loss", "1pt", "--speedup", "2"], "got speedup and max_loss"),
        (["--max-loss", "1pt", "budget.density=.4"], "got density and max_loss"),
        (["--speedup", "0.5"], "speedup: Input should be greater than or equal to 1"),
    ],
)
def test_amounts_that_cannot_be_are_told(place, prunus_, said, message):
    code, out, err = prunus_("run", place / "recipe.yaml", *said)
    assert (code, out) == (2, "")
    assert message in err


def test_run_makes_it_small_enough(place, prunus_, tmp_path):
    asked = ("--max-bytes", "55kB", "latency=null", "--out", tmp_path / "out")
    code, _, err = prunus_("run", place / "recipe.yaml", *asked)
    assert (code, err) == (0, "")
    assert 40_000 < (tmp_path / "out/model/model.safetensors").stat().st_size <= 55_000
    settings = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert settings["budget"]["max_bytes"] == 55_000
    assert "density" not in settings["budget"]


def test_a_file_that_is_too_large_is_refused(place, prunus_, tmp_path, monkeypatch):
    monkeypatch.setattr("prunus.drive._sized.around", lambda _: -20_000)
    asked = ("--max-bytes", "40kB", "latency=null", "--out", tmp_path / "out")
    code, _, err = prunus_("run", place / "recipe.yaml", *asked)
    assert code == 2
    assert "40,000 were asked for, but the saved weights take" in err
    assert not (tmp_path / "out").exists()


def test_run_and_show_tell_how_far_it_can_go(place, prunus_, tmp_path):
    splits = "task.splits={train: 16, calibration: 12, development: 12, validation: 20}"
    settings = (splits, "calibration.samples=12", "latency=null", "recover=[]")
    code, out, err = prunus_(
        "run", place / "recipe.yaml", *settings, "--max-loss", "10pt", "--out", tmp_path / "out"
    )
    assert (code, err) == (0, "")
    for text in (out, prunus_("show", tmp_path / "out")[1]):
        assert "How far it can go" in text
        assert "chosen" in text
        assert "seen once, says" in text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["--max-bytes", "55kB"], "budget: max_bytes 55,000, density 0."),
        (["--speedup", "2", "budget.metric=flops"], "budget: density 0.5, metric flops, of model"),
    ],
)
def test_check_previews_other_amounts(place, prunus_, said, told):
    code, out, _ = prunus_("check", place / "recipe.yaml", *said)
    assert code == 0
    assert told in out


def test_check_previews_a_search(place, prunus_):
    splits = "task.splits={train: 16, calibration: 12, development: 12, validation: 20}"
    code, out, _ = prunus_("check", place / "recipe.yaml", splits, "--max-loss", "1pt")
    assert code == 0
    assert "budget: max_loss 1pt, densities from 0.01 on, metric flops" in out


def test_train_makes_what_run_prunes(place, prunus_, tmp_path):
    path = tmp_path / "train.yaml"
    recipe = yaml.safe_load((place / "recipe.yaml").read_text())
    path.write_text(yaml.safe_dump({key: recipe[key] for key in ("model", "task")}))
    out = tmp_path / "dense"
    code, told, _ = prunus_("train", path, "training.max_steps=2", "--out", out, "--quiet")
    assert (code, told) == (0, "")
    assert json.loads((out / "training.json").read_text())["training"]["max_steps"] == 2
    code, told, _ = prunus_("train", path, "training.max_steps=2", "--out", out)
    assert code == 0
    assert "majority 45.00" in told
    assert told.splitlines()[-1] == f"model: {out}"


def test_check_says_what_would_be_cut(place, prunus_):
    code, out, err = prunus_(
        "check", place / "recipe.yaml", "budget.rules=[{match: ':heads', floor: .25}]"
    )
    assert (code, err) == (0, "")
    assert "sites: encoder.layer.N:heads, encoder.layer.N:neurons" in out
    assert "rule ':heads' matches 2 sites" in out
    assert "budget: density 0.5, metric flops, of sites, global" in out
    assert "can be cut" in out
    assert out.splitlines()[-1].endswith("the recipe is sound")


def test_show_a_run(prunus_, finished):
    code, out, _ = prunus_("show", finished)
    assert code == 0
    assert "agreement" in out
    assert "of 24" in out


def test_show_a_plan(prunus_, finished, tmp_path):
    plan = Plan.load(finished / "plan.safetensors")
    plan.save(tmp_path / "plan.json")
    one = prunus_("show", finished / "plan.safetensors")[1]
    assert one == prunus_("show", tmp_path / "plan.json")[1]
    assert one.startswith("plan of 4 sites, made for ")
    kept, of = plan.kept()["encoder.layer.0:neurons"]
    assert f"{kept} of {of}" in one


def test_show_checkpoints(place, prunus_, finished):
    dense, pruned = (prunus_("show", f)[1] for f in (place / "dense", finished / "model"))
    assert "opened by:  plain transformers" in dense
    assert " of " not in dense.partition("weights")[2]
    assert "opened by:  prunus" in pruned
    for kept, of in Plan.load(finished / "plan.safetensors").kept().values():
        assert f"{kept} of {of}" in pruned


@pytest.mark.parametrize("family", FAMILIES)
def test_show_removed_layers_by_their_dense_numbers(family, prunus_, tmp_path):
    model = tiny(family, layers=3)
    sites = anatomy(model)
    stack = next(iter(sites)).rpartition(".")[0]
    plan = Plan({n: mask & (n != f"{stack}.1:layers") for n, mask in Plan.dense(sites).items()})
    cut = {"heads": 1, "neurons": 3}
    for name, site in sites.of(*cut).items():
        if name.startswith(f"{stack}.2"):
            mask = plan[name].clone()
            mask[: cut[site.kind]] = False
            plan = plan | {name: mask}
    prunus.save(prunus.shrink(model, plan), tmp_path / "small")
    out = prunus_("show", tmp_path / "small")[1]
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in out.splitlines()]
    layers = {row[0]: row[1:3] for row in reversed(rows) if len(row) > 2}
    heads, neurons = (sites[f"{stack}.0:{kind}"].units for kind in cut)
    assert layers["0"][0] == str(heads)
    assert layers["1"][0] == f"0 of {heads}"
    assert layers["2"][0] == f"{heads - 1} of {heads}"
    assert f"{neurons - 3} of {neurons}" in out


def test_eval_gives_the_quality_that_the_report_gives(place, prunus_, finished):
    quality = json.loads((finished / "report.json").read_text())["quality"]
    for which, checkpoint in {"dense": place / "dense", "pruned": finished}.items():
        code, out, _ = prunus_("eval", checkpoint, "--recipe", place / "recipe.yaml")
        assert code == 0
        assert out.startswith(f"accuracy {quality[which]:.2f} ± ")


def test_eval_by_another_runtime(place, prunus_, finished, tmp_path):
    asked = ("eval", finished, "--recipe", place / "recipe.yaml")
    _, right, _ = prunus_(*asked)
    assert prunus_(*asked, "--runtime", "onnx")[:2] == (0, right)
    code, out, _ = prunus_(*asked, "--dtype", "bfloat16")
    assert (code, out.split()[0]) == (0, "accuracy")
    assert float(out.split()[1]) == pytest.approx(float(right.split()[1]), abs=10)
    code, _, complaint = prunus_(*asked, "--dtype", "float23")
    assert (code, "unknown dtype 'float23'" in complaint) == (2, True)
    exported = tmp_path / "exported"
    assert prunus_("export", finished, "--to", "pt2", "--out", exported, "--quiet")[0] == 0
    code, _, complaint = prunus_("eval", exported, *asked[2:], "--runtime", "onnx")
    assert (code, "an export has its runtime and dtype" in complaint) == (2, True)
    assert prunus_("eval", exported, *asked[2:])[1] == right


@pytest.mark.parametrize("family", FAMILIES)
def test_bench_times_any_family(family, prunus_, tmp_path):
    prunus.save(tiny(family), tmp_path / "dense")
    code, out, _ = prunus_(
        "bench", tmp_path / "dense", tmp_path / "dense", "--length", 16, "--batch", 2, "--pairs", 1
    )
    assert code == 0
    assert out.count("1.00×") >= 2
    assert "of the ideal" in out


def test_bench_shows_a_table_and_where_it_is_kept(prunus_, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "cache"))
    prunus.save(tiny("t5"), tmp_path / "dense")
    arguments = ("bench", tmp_path / "dense", "--table", "--length", 8, "--batch", 2)
    code, out, _ = prunus_(*arguments)
    assert code == 0
    assert "decoder.block.N.cross:heads" in out
    assert "without heads and neurons" in out
    (kept,) = (tmp_path / "cache" / "latency").iterdir()
    assert out.splitlines()[-1] == f"kept in {kept}"
    assert prunus_(*arguments)[1] == out


@pytest.mark.parametrize("more", [[], ["b", "--table"]])
def test_bench_wants_two_checkpoints_or_a_table_of_one(more, prunus_):
    code, _, err = prunus_("bench", "a", *more)
    assert code == 2
    assert "DENSE PRUNED, or one, DENSE --table" in err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--runtime", "openvino", "--dtype", "int8"], "leave out --dtype, --runtime"),
        (["--pairs", 3, "--out", "bench.json", "--across"], "leave out --across, --out, --pairs"),
        (["--batch", 1, 2], "several of batch"),
        (["--batch", 1, 0], "bench: batch.1: Input should be greater than 0 (got 0)"),
    ],
)
def test_a_table_is_of_one_call_and_runtime(more, told, prunus_):
    code, _, err = prunus_("bench", "a", "--table", *more)
    assert code == 2
    assert told in err


@pytest.mark.parametrize("head", ["T5ForSequenceClassification", "T5EncoderModel", "T5Model"])
def test_bench_times_heads_that_read_otherwise(head, prunus_, tmp_path):
    prunus.save(tiny("t5", head), tmp_path / "dense")
    arguments = ("--length", 8, "--batch", 2, "--pairs", 1)
    assert prunus_("bench", tmp_path / "dense", tmp_path / "dense", *arguments)[0] == 0


def test_ls_lists_everything_with_a_line_on_each(prunus_):
    out = prunus_("ls")[1]
    for name in ("fisher", "sweep", "least_squares", "glue", "llama", *shipped()):
        assert any(line.split()[:1] == [name] for line in out.splitlines()), name
    code, out, _ = prunus_("ls", "drives")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "drives",
        "gradual",
        "iterative",
        "library",
        "oneshot",
        "stepwise",
        "sweep",
    ]
    assert all(len(line) <= 100 for line in out.splitlines())


def test_cp_copies_a_recipe_that_then_runs_from_there(prunus_, tmp_path):
    code, out, _ = prunus_("cp", "quickstart", tmp_path / "mine")
    assert code == 0
    assert "prunus run" in out
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"recipe.yaml", "train.yaml", "README.md"}
    code, _, err = prunus_("cp", "quickstart", tmp_path / "mine")
    assert code == 2
    assert "mine exists already" in err
