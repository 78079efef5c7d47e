"""A scheme is read as it was written, and what was edited by hand is noticed."""

import json

import pytest

from prunus.drive._configurations import Configurations
from prunus.drive._scheme import write
from prunus.errors import PrunusError

EVERY = [{"a:heads": 0.25, "b:heads": 1.0}, {"a:heads": 0.5, "b:heads": 0.5}, {"a:heads": 0.25}]


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "scheme.json", EVERY)
    return tmp_path / "scheme.json"


def edited(path, change):
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    return path


def test_what_was_written_is_read_without_a_word(path):
    found = Configurations.parse(path)
    assert (list(found.every), found.notes) == (EVERY, ())
    said = json.loads(path.read_text())
    assert said["modules"] == {"a:heads": [0.25, 0.5], "b:heads": [0.5]}


def test_how_it_is_laid_out_does_not_matter(path):
    said = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(said.items()))))
    assert Configurations.parse(path).notes == ()


def _more(said):
    said["configurations"].append({"a:heads": 0.75})


def _both(said):
    _more(said)
    said["modules"]["a:heads"].append(0.75)


def _one(said):
    said["configurations"][1]["b:heads"] = 0.25


def _modules(said):
    said["modules"]["c:heads"] = [0.5]


def _bare(said):
    _more(said)
    del said["modules"], said["seal"], said["format"]


@pytest.mark.parametrize("change", [_both, _bare, lambda said: said.pop("seal")])
def test_an_edited_one_that_says_one_thing_is_taken_and_told(path, change):
    found = Configurations.parse(edited(path, change))
    (note,) = found.notes
    assert note.startswith(f"{path} was edited since it was written")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_more, "configurations have a:heads at 0.25, 0.5, 0.75, its modules at 0.25, 0.5;"),
        (_one, "configurations have b:heads at 0.25, its modules at 0.5;"),
        (_modules, "configurations have c:heads at no density, its modules at 0.5;"),
        (lambda said: said.update(format=2), "this scheme has format 2 and was written by a newer"),
        (lambda said: said.update(modules=[1]), "no scheme; expected a list of {site: density}"),
        (lambda said: said.update(configurations=3), "no scheme; expected"),
        (lambda said: said.update(configurations=[{}, 3]), "no scheme; expected"),
        (lambda said: said.pop("configurations"), "no scheme; expected"),
    ],
)
def test_one_that_contradicts_itself_is_refused(path, change, message):
    with pytest.raises(PrunusError) as error:
        Configurations.parse(edited(path, change))
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_plain_list_of_what_is_kept_is_read(tmp_path):
    path = tmp_path / "conf.json"
    path.write_text('[{"encoder.block.0.layer.0.SelfAttention": 0.25, "decoder.wi": 1}]')
    found = Configurations.parse(str(path))
    assert found.every == ({"encoder.block.0.layer.0.SelfAttention": 0.25, "decoder.wi": 1.0},)
    assert found.notes == ()
