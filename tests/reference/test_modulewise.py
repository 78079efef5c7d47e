"""Training of sublayers by themselves, against a plain loop over matrices in float64."""

from math import sqrt

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.errors import PrunusError
from prunus.probe._apart import passes
from prunus.recover._variant import Variant
from prunus.recover.modulewise import Modulewise
from tests.tiny import batch_of, far, tiny

LAYER = "bert.encoder.layer.1"
SETTINGS = {"epochs": 3, "learning_rate": 0.02, "warmup_ratio": 0.2, "seed": 5, "patience": 3}
GRID = f"{LAYER}.attention.self.key"


def sites_of(model):
    grids = anatomy(model).chosen([{"grid": "1x1", "match": GRID.replace(".", r"\.")}])
    return {"neurons": anatomy(model), "heads": anatomy(model), "grid": grids}


def site_of(model, kind):
    sites = sites_of(model)[kind]
    name = next(n for n, s in sites.items() if s.kind == kind and "layer.1" in n)
    return sites, sites[name]


def stays_of(site):
    drawn = torch.rand(site.shape, generator=torch.Generator().manual_seed(3))
    return drawn > drawn.flatten().median()


def feed_forward(x, w, _):
    inner = torch.nn.functional.gelu(x @ w["up"].T + w["up bias"])
    return inner @ w["down"].T + w["down bias"]


def attention(x, w, hidden):
    """Scaled dot products of heads that are 8 wide; padded keys are not attended to."""
    query, key, value = (
        (x @ w[name].T + w[f"{name} bias"]).unflatten(-1, (-1, 8)).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    scores = query @ key.transpose(-1, -2) / sqrt(8)
    shares = scores.masked_fill(hidden[:, None, None, :], -torch.inf).softmax(-1)
    mixed = (shares @ value).transpose(1, 2).flatten(-2)
    return mixed @ w["out"].T + w["out bias"]


def linear(x, w, _):
    return x @ w["key"].T + w["key bias"]


def tensors_of(model, kind, stays):
    """{short name: (name in the model, the weights that stay)}, and which entries may move."""
    own = dict(model.named_parameters())
    wide = stays.repeat_interleave(8) if kind == "heads" else stays
    if kind == "grid":
        names = {"key": f"{GRID}.weight", "key bias": f"{GRID}.bias"}
        found = {short: own[name].detach().clone() for short, name in names.items()}
        found["key"] *= stays
        return names, found
    if kind == "neurons":
        paths = {"up": f"{LAYER}.intermediate.dense", "down": f"{LAYER}.output.dense"}
    else:
        paths = {n: f"{LAYER}.attention.self.{n}" for n in ("query", "key", "value")}
        paths["out"] = f"{LAYER}.attention.output.dense"
    last = list(paths)[-1]
    names, found = {}, {}
    for short, path in paths.items():
        names |= {short: f"{path}.weight", f"{short} bias": f"{path}.bias"}
        weight, bias = own[f"{path}.weight"].detach(), own[f"{path}.bias"].detach()
        found[short] = weight[:, wide].clone() if short == last else weight[wide].clone()
        found[f"{short} bias"] = bias.clone() if short == last else bias[wide].clone()
    return names, found


FORWARD = {"neurons": feed_forward, "heads": attention, "grid": linear}
READS = {
    "neurons": f"{LAYER}.intermediate.dense",
    "heads": f"{LAYER}.attention.self.query",
    "grid": GRID,
}


def seen(model, kind, batch):
    """(what the sublayer reads, what the dense one gives, which tokens are padding)."""
    _, site = site_of(model, kind)
    here = {}
    hooks = [
        model.get_submodule(READS[kind]).register_forward_hook(
            lambda _, args, __: here.update(x=args[0])
        ),
        model.get_submodule(site.reader).register_forward_hook(
            lambda _, __, out: here.update(y=out)
        ),
    ]
    with torch.no_grad():
        model(**batch)
    for hook in hooks:
        hook.remove()
    return here["x"], here["y"], batch["attention_mask"] == 0


def error(kind, own, x, y, hidden):
    """(sum of squares of what is off, sum of squares of the dense output), of real tokens."""
    off = (FORWARD[kind](x, own, hidden) - y)[~hidden]
    return off.square().sum(), y[~hidden].square().sum()


def reference(model, kind, stays, learnt, out):
    """AdamW as Loshchilov and Hutter have it (arXiv 1711.05101, algorithm 2), no decay."""
    names, own = tensors_of(model, kind, stays)
    data, held = ([seen(model, kind, batch) for batch in part] for part in (learnt, out))
    sizes = {n: own[n].square().mean().sqrt() for n in own if own[n].dim() > 1}
    mean = sum(sizes.values()) / len(sizes)
    rates = {n: SETTINGS["learning_rate"] * sizes.get(n, mean) for n in own}
    first, second = ({n: torch.zeros_like(t) for n, t in own.items()} for _ in range(2))
    steps, step = SETTINGS["epochs"] * len(data), 0
    warm = SETTINGS["warmup_ratio"]

    def look():
        offs = [error(kind, own, *row) for row in held]
        return float(sum(off for off, _ in offs) / sum(of for _, of in offs))

    looks, best = [(0, None, look())], {n: t.clone() for n, t in own.items()}
    for epoch in range(1, SETTINGS["epochs"] + 1):
        losses = []
        drawn = torch.Generator().manual_seed(SETTINGS["seed"] + epoch)
        for place in torch.randperm(len(data), generator=drawn).tolist():
            way = (step + 0.5) / steps
            pace = min(way / warm, (1 - way) / (1 - warm))
            step += 1
            leaves = {n: t.clone().requires_grad_() for n, t in own.items()}
            off, of = error(kind, leaves, *data[place])
            (off / of).backward()
            losses.append(float((off / of).detach()))
            for n, leaf in leaves.items():
                g = leaf.grad * stays if (kind, n) == ("grid", "key") else leaf.grad
                first[n] = 0.9 * first[n] + 0.1 * g
                second[n] = 0.999 * second[n] + 0.001 * g**2
                mean_, square = first[n] / (1 - 0.9**step), second[n] / (1 - 0.999**step)
                own[n] = own[n] - pace * rates[n] * mean_ / (square.sqrt() + 1e-8)
        looks.append((epoch, sum(losses) / len(losses), look()))
        if looks[-1][2] == min(row[2] for row in looks):
            best = {n: t.clone() for n, t in own.items()}
    return {names[n]: t for n, t in best.items()}, looks


def setting(kind):
    """A model, batches to learn from, batches that are held out, and a variant."""
    model = tiny("bert").double()
    batches = [batch_of(model, 4, seed=seed) for seed in range(5)]
    sites, site = site_of(model, kind)
    return model, batches[:4], batches[4:], sites, site


def tuned(model, learnt, out, variants, **settings):
    sites = [own.site for own in variants.values()]

    def run(order):
        return passes(model, sites, out if order is None else [learnt[n] for n in order])

    return Modulewise(**{**SETTINGS, **settings}).tune(variants, run, len(learnt))


@pytest.mark.parametrize("kind", ["neurons", "heads", "grid"])
def test_a_sublayer_is_trained_by_itself(kind):
    model, learnt, out, sites, site = setting(kind)
    stays = stays_of(site)
    expected, looks = reference(model, kind, stays, learnt, out)
    own = Variant(model, sites, site, stays)
    (found,) = tuned(model, learnt, out, {"one": own}).values()
    for look, (epoch, training, validation) in zip(found, looks, strict=True):
        assert look.epoch == epoch
        assert look.validation == pytest.approx(validation, rel=1e-6)
        assert look.training == (training and pytest.approx(training, rel=1e-6))
    assert found[-1].validation < found[0].validation
    tensors = own.tensors()
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert far(tensor, expected[name]) < 1e-6, name


def test_the_best_epoch_is_kept_and_what_does_not_gain_rests():
    model, learnt, out, sites, site = setting("neurons")
    own = Variant(model, sites, site, stays_of(site))
    before = own.tensors()
    (looks,) = tuned(
        model, learnt, out, {"one": own}, learning_rate=30.0, epochs=9, patience=2
    ).values()
    assert len(looks) == 3
    assert all(own.tensors()[name].equal(tensor) for name, tensor in before.items())
    assert not any(tensor.requires_grad for tensor in own.parameters.values())


def test_an_error_that_is_no_number_is_told():
    model, learnt, out, sites, site = setting("neurons")
    own = Variant(model, sites, site, stays_of(site))
    with pytest.raises(PrunusError, match=r"the error of one is not finite; lower learning_rate"):
        tuned(model, learnt, out, {"one": own}, learning_rate=1e300)


def test_where_the_dense_model_gives_nothing_there_is_nothing_to_learn():
    model, learnt, out, sites, site = setting("neurons")
    with torch.no_grad():
        for part in ("weight", "bias"):
            model.get_parameter(f"{site.reader}.{part}").zero_()
    own = Variant(model, sites, site, stays_of(site))
    (looks,) = tuned(model, learnt, out, {"one": own}).values()
    assert [look.validation for look in looks] == [0.0] * len(looks)
    assert all(tensor.isfinite().all() for tensor in own.parameters.values())


def test_variants_of_one_site_learn_beside_each_other():
    model, learnt, out, sites, site = setting("heads")
    stays = stays_of(site)
    pair = {"one": Variant(model, sites, site, stays), "other": Variant(model, sites, site, ~stays)}
    looks = tuned(model, learnt, out, pair)
    for name, mask in (("one", stays), ("other", ~stays)):
        alone = Variant(model, sites, site, mask)
        assert tuned(model, learnt, out, {"alone": alone})["alone"] == looks[name]
        tensors = alone.tensors()
        assert all(own.equal(tensors[n]) for n, own in pair[name].tensors().items())
