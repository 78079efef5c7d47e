"""Every criterion against a slow version written from its formula."""

import copy

import pytest
import torch
from torch.nn import functional

from prunus.anatomy import anatomy
from prunus.probe import Teacher
from prunus.registry import build
from prunus.score import score
from tests.tiny import FAMILIES, batch_of, tiny

HEADS, NEURONS = "encoder.layer.1:heads", "encoder.layer.1:neurons"


def layer_of(model):
    return model.bert.encoder.layer[1]


def data_of(model, sizes=(3, 2)):
    return [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]


def singles(batches):
    """Every sample as a batch of its own."""
    for batch in batches:
        for row in range(len(batch["labels"])):
            yield {key: tensor[row : row + 1] for key, tensor in batch.items()}


def agree(found, expected, rtol=1e-4):
    torch.testing.assert_close(found.double(), expected.double(), rtol=rtol, atol=1e-12)


def scorable(model):
    """All but the vocabulary, of which texts decide."""
    found = anatomy(model)
    return found.of(*{site.kind for site in found.values()} - {"vocab"})


@pytest.mark.parametrize(("norm", "size"), [("l1", torch.abs), ("l2", torch.square)])
def test_magnitude_adds_up_all_weights_of_a_unit(norm, size):
    model = tiny("bert")
    found = score(model, [], anatomy(model), build("score", {"name": "magnitude", "norm": norm}))
    layer = layer_of(model)
    heads, neurons = torch.zeros(4), torch.zeros(24)
    for head in range(4):
        for row in range(8 * head, 8 * head + 8):
            for module in (layer.attention.self.query, layer.attention.self.key):
                heads[head] += size(module.weight[row]).sum() + size(module.bias[row])
            value = layer.attention.self.value
            heads[head] += size(value.weight[row]).sum() + size(value.bias[row])
            heads[head] += size(layer.attention.output.dense.weight[:, row]).sum()
    for neuron in range(24):
        up = layer.intermediate.dense
        neurons[neuron] = size(up.weight[neuron]).sum() + size(up.bias[neuron])
        neurons[neuron] += size(layer.output.dense.weight[:, neuron]).sum()
    agree(found[HEADS], heads.detach())
    agree(found[NEURONS], neurons.detach())
    agree(found["encoder.layer.1.attention:sublayers"], heads.detach().sum()[None])
    whole = sum(size(parameter).sum() for parameter in layer.parameters())
    agree(found["encoder.layer.1:layers"], whole.detach()[None])


def test_magnitude_of_a_channel_counts_tied_weights_once():
    model = tiny("bert", "BertForMaskedLM")
    found = score(model, [], anatomy(model), build("score", "magnitude"))["stream:channels"]
    total = sum(
        model.get_parameter(part.tensor).abs().sum()
        for part in anatomy(model)["stream:channels"].slices
    )
    embedding = model.bert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.weight is embedding
    agree(found.sum(), total.detach())
    with torch.no_grad():
        embedding[:, 3] += 1e6
    again = score(model, [], anatomy(model), build("score", "magnitude"))["stream:channels"]
    assert again[3] - found[3] == pytest.approx(50 * 1e6, rel=1e-3)


def mask_gradients(model, batches):
    """Per sample: {site: gradient of its loss in the masks of a layer's heads and neurons}.

    The masks are multiplied onto the columns of the output projections by hand.
    """
    layer = layer_of(model)
    for sample in singles(batches):
        masks = {HEADS: torch.ones(4), NEURONS: torch.ones(24)}
        handles = []
        for name, module in ((HEADS, layer.attention.output.dense), (NEURONS, layer.output.dense)):
            value = masks[name].requires_grad_()
            repeats = 8 if name == HEADS else 1
            original = module.weight
            del module._parameters["weight"]
            module.weight = original.detach() * value.repeat_interleave(repeats)[None, :]
            handles.append((module, original))
        logits = model(
            input_ids=sample["input_ids"], attention_mask=sample["attention_mask"]
        ).logits
        functional.cross_entropy(logits, sample["labels"]).backward()
        for module, original in handles:
            del module.weight
            module.weight = original
        yield {name: value.grad.double() for name, value in masks.items()}


@pytest.mark.parametrize(
    ("name", "of"), [("fisher", torch.square), ("taylor", torch.abs)], ids=["fisher", "taylor"]
)
def test_labelled_criteria_take_gradients_sample_by_sample(name, of):
    model = tiny("bert")
    data = data_of(model)
    found = score(model, data, scorable(model), build("score", name))
    seen = list(mask_gradients(model, data))
    for site in (HEADS, NEURONS):
        agree(found[site], sum(of(gradients[site]) for gradients in seen) / len(seen))
    for coarse, fine in (
        ("encoder.layer.1.attention:sublayers", HEADS),
        ("encoder.layer.1.feed_forward:sublayers", NEURONS),
    ):
        agree(found[coarse], sum(of(g[fine].sum()) for g in seen)[None] / len(seen))


@pytest.mark.parametrize("name", ["fisher", "taylor"])
@pytest.mark.parametrize("family", [f for f in FAMILIES if "labels" in batch_of(tiny(f))])
def test_labelled_criteria_do_not_depend_on_the_batches(name, family):
    model = tiny(family)
    batch = batch_of(model, size=4)
    if batch["labels"].dim() == 2:
        batch["labels"][batch["labels"] == -100] = 7
    together, alone = (
        score(model, data, scorable(model), build("score", name))
        for data in ([batch], singles([batch]))
    )
    for site in together:
        agree(together[site], alone[site], rtol=1e-3)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_labelled_criteria_do_not_depend_on_the_batches_where_texts_differ_in_length(family):
    model = tiny(family)
    batch = batch_of(model, size=4)
    batch["labels"][0, 2:] = -100
    together, alone = (
        score(model, data, scorable(model), build("score", "fisher"))
        for data in ([batch], singles([batch]))
    )
    for site in together:
        agree(together[site], alone[site], rtol=1e-3)


@pytest.mark.parametrize("name", ["fisher", "taylor"])
def test_layers_are_scored_by_what_passing_them_by_would_change(name):
    model = tiny("bert")
    data, of = data_of(model), {"fisher": torch.square, "taylor": torch.abs}[name]
    found = score(model, data, anatomy(model).of("layers"), build("score", name))
    total = []
    for sample in singles(data):
        seen = {}

        def keep(_, args, out, seen=seen):
            out.retain_grad()
            seen.update(into=args[0], out=out)

        handle = layer_of(model).register_forward_hook(keep)
        model(**sample).loss.backward()
        handle.remove()
        total.append((seen["out"].grad * (seen["out"] - seen["into"])).sum().double())
    agree(found["encoder.layer.1:layers"], sum(of(g) for g in total)[None].detach() / len(total))


@pytest.mark.parametrize("name", ["fisher", "taylor"])
def test_grids_are_scored_by_weight_times_gradient_of_each_batch(name):
    model = tiny("bert")
    data, of = data_of(model), {"fisher": torch.square, "taylor": torch.abs}[name]
    sites = anatomy(model).grid("bert.encoder.layer.1.output.dense", (4, 2))
    found = score(model, data, sites, build("score", name))
    weight = layer_of(model).output.dense.weight
    total = 0
    for batch in data:
        model.zero_grad()
        (model(**batch).loss * len(batch["labels"])).backward()
        product = (weight * weight.grad).detach().double()
        blocks = torch.stack(
            [
                torch.stack([product[r : r + 4, c : c + 2].sum() for c in range(0, 24, 2)])
                for r in range(0, 32, 4)
            ]
        )
        total = total + of(blocks)
    agree(found["bert.encoder.layer.1.output.dense:grid"], total / 5, rtol=1e-3)


def knowledge_of(student, teacher, batches, temperature, lam_pred, lam_rep, mu):
    """K-prune's scores of layer 1, formula by formula (arXiv 2308.03449, eq. 4, 5, 10 and 11)."""
    layer = layer_of(student)
    out, down = layer.attention.output.dense, layer.output.dense
    squares = {HEADS: torch.zeros(32), NEURONS: torch.zeros(24)}
    sums = {HEADS: torch.zeros(32), NEURONS: torch.zeros(24)}
    samples = tokens = 0
    for batch in batches:
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        masks = {HEADS: torch.ones(32).requires_grad_(), NEURONS: torch.ones(24).requires_grad_()}
        seen = {}

        def multiply(module, args, masks=masks, seen=seen):
            name = HEADS if module is out else NEURONS
            seen[name] = args[0].detach()
            return (args[0] * masks[name],)

        handles = [module.register_forward_pre_hook(multiply) for module in (out, down)]
        z = student(**inputs).logits
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            p = (teacher(**inputs).logits / temperature).softmax(-1)
        log_q = (z / temperature).log_softmax(-1)
        divergence = temperature**2 * (p * (p.log() - log_q)).sum() / len(z)
        gradients = torch.autograd.grad(divergence, list(masks.values()))
        real = batch["attention_mask"].bool()
        samples, tokens = samples + len(z), tokens + int(real.sum())
        for name, gradient in zip(masks, gradients, strict=True):
            squares[name] += gradient.square() / 2
            for token in seen[name][real]:
                sums[name] += token.square()
    known = {}
    for name, weight in ((HEADS, out.weight), (NEURONS, down.weight)):
        predictive = squares[name] / samples
        representational = sums[name] / tokens * weight.detach().square().mean(0)
        known[name] = lam_pred * predictive + lam_rep * representational
    return mu * known[HEADS].reshape(4, 8).mean(1), known[NEURONS]


@pytest.mark.parametrize(
    ("temperature", "lam_pred", "lam_rep", "mu"), [(2.0, 1.0, 2.5e-4, 64.0), (3.0, 0.5, 1.0, 8.0)]
)
def test_knowledge(temperature, lam_pred, lam_rep, mu):
    teacher = tiny("bert")
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student.bert.encoder.layer[0].output.dense.weight[:, ::2] = 0
    data = data_of(teacher)
    settings = {
        "temperature": temperature, "lam_pred": lam_pred, "lam_rep": lam_rep, "head_weight": mu
    }  # fmt: skip
    criterion = build("score", {"name": "knowledge", **settings})
    sites = anatomy(student).of("heads", "neurons")
    found = score(student, data, sites, criterion, Teacher(teacher, temperature))
    heads, neurons = knowledge_of(student, teacher, data, temperature, lam_pred, lam_rep, mu)
    agree(found[HEADS], heads)
    agree(found[NEURONS], neurons)


def test_knowledge_is_representational_alone_where_nothing_is_pruned_yet():
    model = tiny("bert")
    sites, data = anatomy(model).of("heads", "neurons"), data_of(model)
    usual, without = (
        score(model, data, sites, build("score", {"name": "knowledge", "lam_pred": weight}))
        for weight in (1.0, 0.0)
    )
    for site in sites:
        agree(usual[site], without[site])


def divergence(model, batch, temperature, shift):
    """What the teacher's loss is when the student's answers are shifted, by the definition."""
    teacher = Teacher(model, temperature)
    held = {"logits", "start_logits", "end_logits", "last_hidden_state"}

    class Shifted(torch.nn.Module):
        def forward(self, **inputs):
            out = model(**inputs)
            for name in held.intersection(out):
                out[name] = out[name] + shift(out[name])
            return out

    with torch.no_grad():
        return float(teacher(Shifted(), batch)), model(**batch)


def kl(goal, z, temperature):
    """T^2 KL(softmax(goal / T) || softmax(z / T)) of one row."""
    p, q = (goal / temperature).softmax(-1), (z / temperature).softmax(-1)
    return temperature**2 * float((p * (p / q).log()).sum())


def wave(z):
    """A shift that is different everywhere."""
    return torch.arange(z.numel()).reshape(z.shape).sin()


def test_divergence_of_classes_is_summed_over_samples():
    model = tiny("bert")
    batch = batch_of(model)
    found, out = divergence(model, batch, 2.0, wave)
    expected = [
        kl(goal, goal + shift, 2.0)
        for goal, shift in zip(out.logits, wave(out.logits), strict=True)
    ]
    assert found == pytest.approx(sum(expected), rel=1e-4)


def test_divergence_of_spans_is_the_mean_of_start_and_end():
    model = tiny("bert", "BertForQuestionAnswering")
    batch = batch_of(model)
    found, out = divergence(model, batch, 2.0, wave)
    expected = [
        kl(goal, goal + shift, 2.0)
        for name in ("start_logits", "end_logits")
        for goal, shift in zip(out[name], wave(out[name]), strict=True)
    ]
    assert found == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_divergence_of_tokens_counts_those_with_labels():
    model = tiny("llama")
    batch = batch_of(model)
    found, out = divergence(model, batch, 2.0, wave)
    shift, real = wave(out.logits), batch["labels"] != -100
    expected = [
        kl(goal, goal + s, 2.0) for goal, s in zip(out.logits[real], shift[real], strict=True)
    ]
    assert found == pytest.approx(sum(expected), rel=1e-4)


def test_divergence_of_regression_is_the_squared_error():
    model = tiny("bert", num_labels=1)
    batch = {**batch_of(model), "labels": torch.rand(3)}
    found, out = divergence(model, batch, 2.0, wave)
    assert found == pytest.approx(float(wave(out.logits).square().sum()), rel=1e-4)


def test_divergence_without_a_head_is_the_mean_squared_error_of_real_tokens():
    model = tiny("bert", "BertModel")
    batch = batch_of(model)
    found, out = divergence(model, batch, 2.0, wave)
    apart, real = wave(out.last_hidden_state).square().mean(-1), batch["attention_mask"].bool()
    expected = sum(apart[row][real[row]].mean() for row in range(3))
    assert found == pytest.approx(float(expected), rel=1e-4)
