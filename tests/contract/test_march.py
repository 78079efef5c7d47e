"""Suspended passes: other passes do not disturb them, and it does not matter where they wait."""

import copy
import weakref

import pytest
import torch

import prunus
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe import March, Room
from prunus.registry import build
from tests.tiny import FAMILIES, batch_of, far, outputs, tiny


def data_of(model, sizes=(4, 3, 4)):
    return [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]


def pruned(model, data, room=None, **settings):
    """A shrunk model."""
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), data, score="obs", select="curves",
        budget={"density": 0.5}, recover=["input_map", "reselect", "least_squares"], room=room,
        **settings,
    )  # fmt: skip
    return finish(job, build("drive", "oneshot").run(job))


@pytest.mark.parametrize("family", FAMILIES)
def test_passes_may_wait_in_files(family, tmp_path):
    model = tiny(family)
    data, room = data_of(model), Room(0, tmp_path)
    expected, found = pruned(model, data).state_dict(), pruned(model, data, room).state_dict()
    assert room.filed > 0
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert not list(tmp_path.iterdir())


def test_room_is_given_back():
    room = Room(100)
    small = room.put(torch.arange(10.0))
    assert (room.held, room.filed) == (40, 0)
    large = torch.arange(20.0)
    seen = large.view(4, 5)
    room.put(large)
    assert (room.held, room.filed) == (40, 80)
    assert torch.equal(large, torch.arange(20.0))
    assert torch.equal(seen.flatten(), large)
    del small
    assert room.held == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_other_passes_do_not_disturb_those_that_wait(family):
    teacher, student = tiny(family), tiny(family, seed=1)
    data = data_of(teacher)
    readers = list(anatomy(teacher).of("heads", "neurons").values())
    seen = []
    for disturbed in (False, True):
        with March(student, teacher, data, readers, entries=True) as march:
            for site in readers:
                moments = [march.entry(site)]
                if disturbed:
                    outputs(student, data[0])
                    outputs(teacher, data[1])
                moments.append(march.reader(site))
                march.advance(torch.ones(len(moments[1].gram)).bool())
                seen.append(moments)
    half = len(seen) // 2
    for calm, other in zip(seen[:half], seen[half:], strict=True):
        for one, two in zip(calm, other, strict=True):
            assert torch.equal(one.gram, two.gram)
            assert torch.equal(one.cross, two.cross)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_an_attention_computes_does_not_wait(family):
    model = tiny(family)
    student = copy.deepcopy(model)
    sites = list(anatomy(model).of("heads").values())
    made = []

    def kept(_, __, out):
        array = out.numpy().copy()
        made.append(weakref.ref(array))
        return torch.from_numpy(array)

    with March(student, model, data_of(model), sites) as march:
        for site in sites:
            query = site.slices[0].tensor.rpartition(".")[0]
            student.get_submodule(query).register_forward_hook(kept)
            gram = march.reader(site).gram
            assert len(made) >= 3
            assert not any(array() is not None for array in made)
            march.advance(torch.ones(len(gram)).bool())
            student.get_submodule(query)._forward_hooks.clear()
            made.clear()


def test_a_march_leaves_no_hooks_and_no_frozen_weights():
    teacher = tiny("mpnet")
    student = copy.deepcopy(teacher)
    sites = list(anatomy(teacher).of("heads").values())
    with March(student, teacher, data_of(teacher), sites) as march:
        march.reader(sites[0])
        assert not any(p.requires_grad for p in student.parameters())
    for model in (student, teacher):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert not any("forward" in vars(m) for m in model.modules())
        assert all(p.requires_grad for p in model.parameters())


def test_a_reader_that_no_pass_reaches_is_an_error():
    model = tiny("bert")
    sites = list(anatomy(model).of("heads").values())
    with (
        March(copy.deepcopy(model), model, data_of(model), sites[::-1]) as march,
        pytest.raises(PrunusError, match="ended before"),
    ):
        march.reader(sites[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_passes_give_a_like_model_in_float32(family):
    model = tiny(family)
    data = data_of(model)
    full, half = (
        prunus.prune(model, data, 0.6, recover=["least_squares"], precision=precision)
        for precision in ("float32", "bfloat16")
    )
    assert half.dtype == torch.float32
    dense = outputs(model, data[0])
    assert far(outputs(half, data[0]), dense) < 2 * far(outputs(full, data[0]), dense) + 0.1


def test_scores_may_be_made_of_some_of_the_batches():
    model = tiny("bert")
    data = data_of(model, (4, 3, 4, 5))
    whole, half, tenth = (
        job_of(
            model, anatomy(model).of("neurons"), data, score="fisher", select="greedy",
            budget={"density": 0.5}, recover=(), scored=share,
        ) for share in (1, 0.5, 0.1)
    )  # fmt: skip
    for job, seen in ((whole, 16), (half, 8), (tenth, 4)):
        job.score(Plan())
        assert {evidence.samples for evidence in job.evidence.values()} == {seen}
