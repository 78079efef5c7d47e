"""K-prune written out slowly (Park et al., arXiv 2308.03449, algorithm 1) against its recipe."""

import copy

import numpy as np
import pytest
import torch

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.edit import shrink
from prunus.plan import Plan
from prunus.recipe import read
from prunus.registry import build
from tests.tiny import batch_of, far, outputs, tiny

LAYERS, HEADS, WIDTH, NEURONS, HIDDEN = 2, 4, 8, 24, 32
T, LAM_PRED, MU = 2.0, 1.0, 64.0


def sublayers():
    """(site, out projection, input of the sublayer, units, inputs of a unit), bottom to top."""
    for index in range(LAYERS):
        path = f"encoder.layer.{index}"
        attention = f"bert.{path}.attention"
        yield f"{path}:heads", f"{attention}.output.dense", f"{attention}.self.query", HEADS, WIDTH
        layer = f"bert.{path}"
        yield f"{path}:neurons", f"{layer}.output.dense", f"{layer}.intermediate.dense", NEURONS, 1


def flops(length):
    """FLOPs of one head and one neuron, at ``length`` tokens: 2 a multiply-add."""
    head = 2 * length * (4 * HIDDEN * WIDTH) + 2 * 2 * length * length * WIDTH
    return {"heads": head, "neurons": 2 * length * 2 * HIDDEN}


def forward(model, batch, masks):
    """(logits, {sublayer: (input of out projection, its output, residual)}), under masks."""
    seen, handles = {}, []
    for site, out, into, _, _ in sublayers():

        def multiply(_, args, site=site):
            return (args[0] * masks[site],)

        def keep(_, args, output, site=site):
            seen.setdefault(site, {}).update(x=args[0], out=output)

        def stream(_, args, site=site):
            seen.setdefault(site, {}).update(residual=args[0])

        reader = model.get_submodule(out)
        handles += [
            reader.register_forward_pre_hook(multiply),
            reader.register_forward_hook(keep),
            model.get_submodule(into).register_forward_pre_hook(stream),
        ]
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits
    for handle in handles:
        handle.remove()
    return logits, seen


def knowledge(student, teacher, batches, masks, lam_rep):
    """{sublayer: [units] lam_pred K_pred + lam_rep K_rep}, of heads times mu."""
    predictive = {site: 0 for site in masks}
    squares = {site: 0 for site in masks}
    samples = tokens = 0
    for batch in batches:
        values = {site: mask.clone().requires_grad_() for site, mask in masks.items()}
        logits, seen = forward(student, batch, values)
        with torch.no_grad():
            goal, _ = forward(
                teacher, batch, {site: torch.ones(len(m)) for site, m in masks.items()}
            )
        p = (goal / T).softmax(-1)
        loss = T**2 * (p * (p.log() - (logits / T).log_softmax(-1))).sum(-1).mean()
        gradients = torch.autograd.grad(loss, list(values.values()))
        real = batch["attention_mask"].bool()
        samples, tokens = samples + len(real), tokens + int(real.sum())
        for site, gradient in zip(values, gradients, strict=True):
            predictive[site] = predictive[site] + gradient.double().square() / 2
            x = seen[site]["x"][real].detach().double()
            squares[site] = squares[site] + x.square().sum(0)
    scores = {}
    for site, out, _, units, width in sublayers():
        weight = student.get_submodule(out).weight.detach().double()
        representational = squares[site] / tokens * weight.square().mean(0)
        known = LAM_PRED * predictive[site] / samples + lam_rep * representational
        scores[site] = known.reshape(units, width).mean(1) * (MU if width > 1 else 1)
    return scores


def select(scores, left, price):
    """Walk thresholds upwards until what is strictly above costs strictly less than ``left``.

    Returns {sublayer: [units] bool}; units of one score go together, nothing is put back.
    """
    worth = {
        (site, unit): float(score) / price[site.split(":")[1]]
        for site, values in scores.items()
        for unit, score in enumerate(values)
    }
    for threshold in sorted(worth.values()):
        keep = {
            site: torch.tensor([worth[site, unit] > threshold for unit in range(len(values))])
            for site, values in scores.items()
        }
        if sum(price[site.split(":")[1]] * int(mask.sum()) for site, mask in keep.items()) < left:
            break
    return keep


def mend(student, teacher, batches, masks, site):
    """The out projection's new weight: plain least squares on all real tokens, the bias kept."""
    x, y = [], []
    for batch in batches:
        real = batch["attention_mask"].bool()
        with torch.no_grad():
            _, ours = forward(student, batch, masks)
            _, theirs = forward(teacher, batch, {s: torch.ones(len(m)) for s, m in masks.items()})
        x.append(ours[site]["x"][real].double().numpy())
        goal = theirs[site]["residual"] + theirs[site]["out"] - ours[site]["residual"]
        y.append(goal[real].double().numpy())
    x, y = np.concatenate(x), np.concatenate(y)
    reader = student.get_submodule(next(out for name, out, *_ in sublayers() if name == site))
    inputs = masks[site].bool()
    fitted = np.linalg.lstsq(x[:, inputs], y - reader.bias.detach().double().numpy(), rcond=None)[0]
    with torch.no_grad():
        reader.weight[:, inputs] = torch.tensor(fitted.T)


def k_prune(teacher, batches, density, length, lam_rep):
    """(student with mended weights, {sublayer: [units] bool})."""
    student, price = copy.deepcopy(teacher), flops(length)
    masks = {site: torch.ones(units * width) for site, _, _, units, width in sublayers()}
    sizes = {site: units for site, _, _, units, _ in sublayers()}
    left = density * sum(price[site.split(":")[1]] * units for site, units in sizes.items())
    plan = {}
    for site, _, _, _, width in sublayers():
        scores = knowledge(student, teacher, batches, masks, lam_rep)
        undecided = {name: values for name, values in scores.items() if name not in plan}
        plan[site] = select(undecided, left, price)[site]
        left -= price[site.split(":")[1]] * int(plan[site].sum())
        masks[site] = plan[site].repeat_interleave(width).float()
        mend(student, teacher, batches, masks, site)
    return student, plan


LAM_REP = 2.5e-4


@pytest.mark.parametrize("density", [0.7, 0.45, 0.2])
@pytest.mark.parametrize("lam_rep", [LAM_REP, 1e-6, 1e-8])
def test_the_recipe_is_k_prune(density, lam_rep):
    """Also where predictive knowledge weighs more than it does in a model as small as this."""
    recipe, teacher = read("kprune"), tiny("bert").double()
    batches = [batch_of(teacher, size, 9, seed) for seed, size in enumerate((6, 6, 5))]
    length = round(
        np.mean([int(row.sum()) for batch in batches for row in batch["attention_mask"]])
    )
    slow, expected = k_prune(teacher, batches, density, length, lam_rep)
    job = job_of(
        teacher, anatomy(teacher).of(*recipe.sites), batches,
        score=recipe.score if lam_rep == LAM_REP else {**recipe.score, "lam_rep": lam_rep},
        budget={**recipe.budget, "density": density}, select=recipe.select, recover=recipe.recover,
    )  # fmt: skip
    plan = build("drive", recipe.drive).run(job)
    assert plan == Plan(expected)
    for site, out, _, _, width in sublayers():
        inputs = expected[site].repeat_interleave(width)
        if inputs.any():
            weight = slow.get_submodule(out).weight[:, inputs].detach()
            assert far(job.student.get_submodule(out).weight.detach(), weight) < 1e-6
    batch = batch_of(teacher, 4, seed=9)
    fast = outputs(finish(job, plan), batch)
    assert far(fast, outputs(shrink(slow, Plan(expected)), batch)) < 1e-6
    assert far(fast, outputs(teacher, batch)) > 1e-2
