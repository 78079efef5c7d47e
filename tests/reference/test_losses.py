"""Terms of a training loss: against sums written out, and what they must leave alone."""

import copy

import pytest
import torch
from torch import nn

from prunus.anatomy import anatomy
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.loss import Objective
from prunus.plan import Plan
from prunus.probe import Teacher
from prunus.registry import find, names
from prunus.trainer import train
from tests.tiny import FAMILIES, batch_of, tiny

TAUGHT = [name for name in names("loss") if find("loss", name).taught]
MODELS = [
    ("bert", None),
    ("bert", "BertForTokenClassification"),
    ("bert", "BertForQuestionAnswering"),
    ("t5", None),
    ("llama", None),
]
EVERY = {
    "labels": "labels",
    "logits": {"name": "logits", "temperature": 3.0},
    "hidden": {"name": "hidden", "layers": "all"},
    "attention": "attention",
}


def pair(family, cls=None, **more):
    """(student, teacher, a batch with labels)."""
    student, teacher = (tiny(family, cls, seed=seed, **more) for seed in (0, 1))
    return student, teacher, labelled(student, batch_of(student))


def labelled(model, batch):
    if "QuestionAnswering" not in type(model).__name__:
        return batch
    ends = torch.tensor([1, 2, 0]), torch.tensor([4, 2, 3])
    return batch | dict(zip(("start_positions", "end_positions"), ends, strict=True))


def value(term, student, teacher, batch):
    with torch.no_grad():
        return float(Objective([term], teacher)(student, batch))


def seen(model, batch):
    """Everything a model gives, attention maps included, in double precision."""
    model = copy.deepcopy(model).double()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(**batch, output_hidden_states=True, output_attentions=True)


def softmax(row):
    shifted = [float(x) for x in row]
    powers = torch.tensor([x - max(shifted) for x in shifted], dtype=torch.double).exp()
    return powers / powers.sum()


def divergence(own, goal, temperature):
    p, q = softmax(goal / temperature), softmax(own / temperature)
    return temperature**2 * sum(float(a) * float((a / b).log()) for a, b in zip(p, q, strict=True))


def counted(tensor, batch, stack):
    """(sample, token) that count in a stack of layers, of [sample, token, ...]."""
    real = torch.ones(tensor.shape[:2], dtype=torch.bool)
    if stack in ("decoder_", "cross_"):
        real = batch["labels"] != -100
    elif "attention_mask" in batch:
        real = batch["attention_mask"] == 1
    return real.nonzero().tolist()


def layers_of(own, goal, kind):
    """(stack, the student's, the teacher's) of every layer of models of one depth."""
    for stack in ("", "encoder_", "decoder_", "cross_"):
        both = (out.get(stack + kind) or () for out in (own, goal))
        yield from ((stack, a, b) for a, b in zip(*both, strict=True))


def slow_logits(student, teacher, batch, temperature=3.0):
    own, goal = seen(student, batch), seen(teacher, batch)
    if "start_logits" in own:
        parts = []
        for name in ("start_logits", "end_logits"):
            for i, mask in enumerate(batch["attention_mask"] == 1):
                parts.append(divergence(own[name][i][mask], goal[name][i][mask], temperature))
    elif own.logits.dim() == 2:
        rows = zip(own.logits, goal.logits, strict=True)
        parts = [divergence(z, t, temperature) for z, t in rows]
    else:
        places = (batch["labels"] != -100).nonzero().tolist()
        parts = [divergence(own.logits[i, j], goal.logits[i, j], temperature) for i, j in places]
    return sum(parts) / len(parts)


def slow_hidden(student, teacher, batch):
    found = []
    for stack, a, b in layers_of(seen(student, batch), seen(teacher, batch), "hidden_states"):
        places = counted(a, batch, stack)
        apart = [float(((a[i, j] - b[i, j]) ** 2).mean()) for i, j in places]
        found.append(sum(apart) / len(apart))
    return sum(found) / len(found)


def slow_attention(student, teacher, batch):
    found = []
    for stack, a, b in layers_of(seen(student, batch), seen(teacher, batch), "attentions"):
        rows = [(i, h, j) for i, j in counted(a[:, 0], batch, stack) for h in range(a.shape[1])]
        apart = [float(((a[row] - b[row]) ** 2).sum()) for row in rows]
        found.append(sum(apart) / len(apart))
    return sum(found) / len(found)


SLOW = {
    "labels": lambda student, _, batch: float(seen(student, batch).loss),
    "logits": slow_logits,
    "hidden": slow_hidden,
    "attention": slow_attention,
}


def test_every_term_has_a_slow_version():
    assert sorted(SLOW) == sorted(EVERY) == names("loss")


@pytest.mark.parametrize("term", SLOW)
@pytest.mark.parametrize(("family", "cls"), [*MODELS, ("vit", None)])
def test_a_term_is_what_it_says(term, family, cls):
    student, teacher, batch = pair(family, cls)
    expected = SLOW[term](student, teacher, batch)
    assert expected > 1e-3
    assert value(EVERY[term], student, teacher, batch) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_term_serves_every_family(family):
    student, _, batch = pair(family)
    terms = [EVERY[name] for name in EVERY if name in TAUGHT or "labels" in batch]
    objective = Objective(terms, copy.deepcopy(student))
    objective(student, batch).backward()
    assert all(objective.last[name] < 1e-8 for name in TAUGHT)
    objective = Objective(terms, tiny(family, seed=1))
    objective.check(student, batch)
    assert objective.last == {}
    objective(student, batch).backward()
    assert all(objective.last[name] > 1e-3 for name in TAUGHT)
    found = [p.grad for p in student.parameters() if p.grad is not None]
    assert found
    assert all(grad.isfinite().all() for grad in found)


def test_the_answers_are_held_as_by_the_teacher_of_criteria():
    student, teacher, batch = pair("bert")
    with torch.no_grad():
        expected = float(Teacher(teacher, 2.0)(student, batch)) / len(batch["labels"])
    assert value("logits", student, teacher, batch) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("cls", ["BertForSequenceClassification", "BertModel"])
def test_where_there_are_no_classes_logits_are_squared_errors(cls):
    student, teacher, batch = pair("bert", cls, num_labels=1)
    batch.pop("labels", None)
    own, goal = (seen(model, batch) for model in (student, teacher))
    if cls == "BertModel":
        mask = (batch["attention_mask"] == 1)[..., None]
        apart = (own.last_hidden_state - goal.last_hidden_state).square() * mask
        each = [(apart[i].sum() / mask[i].sum() / apart.shape[-1]) for i in range(len(apart))]
        expected = float(sum(each)) / len(each)
    else:
        expected = float((own.logits - goal.logits).square().mean())
    assert value("logits", student, teacher, batch) == pytest.approx(expected, rel=1e-4)


def padded(model, batch, more=3):
    """The same batch, every sample of it longer by some padding."""
    fill = {"input_ids": model.config.pad_token_id or 0, "labels": -100}
    longer = {
        name: nn.functional.pad(one, (0, more), value=fill.get(name, 0))
        for name, one in batch.items()
        if one.shape == batch["input_ids"].shape
    }
    return batch | longer


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("term", TAUGHT)
@pytest.mark.parametrize(("family", "cls"), [one for one in MODELS if one[0] != "t5"])
def test_padding_does_not_count(family, cls, term, labels):
    student, teacher, batch = pair(family, cls)
    if not labels:
        batch = {k: v for k, v in batch.items() if k in ("input_ids", "attention_mask")}
    found = [value(EVERY[term], student, teacher, one) for one in (batch, padded(student, batch))]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_padding_counts_where_it_is_asked_for():
    student, teacher, batch = pair("bert")
    own, goal = (seen(model, batch).hidden_states[-1] for model in (student, teacher))
    whole = value({"name": "hidden", "tokens": "all"}, student, teacher, batch)
    assert whole == pytest.approx(float((own - goal).square().mean()), rel=1e-4)
    assert whole != pytest.approx(value("hidden", student, teacher, batch), rel=1e-3)


@pytest.mark.parametrize(
    ("depths", "layers", "matched"),
    [
        ((2, 4), "all", [(0, 0), (1, 2), (2, 4)]),
        ((2, 3), "all", [(0, 0), (1, 2), (2, 3)]),
        ((4, 2), "all", [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]),
        ((2, 4), "last", [(2, 4)]),
        ((2, 4), [-2, 0], [(1, 2), (0, 0)]),
    ],
)
def test_layers_are_matched_evenly(depths, layers, matched):
    batch = batch_of(tiny("bert"))
    student, teacher = (tiny("bert", layers=n, seed=n) for n in depths)
    own, goal = (seen(model, batch) for model in (student, teacher))
    mask = batch["attention_mask"] == 1
    states = ((own.hidden_states[a], goal.hidden_states[b]) for a, b in matched)
    apart = [(a - b)[mask].square().mean() for a, b in states]
    found = value({"name": "hidden", "layers": layers}, student, teacher, batch)
    assert found == pytest.approx(float(sum(apart)) / len(apart), rel=1e-4)
    maps = [(a - 1, b - 1) for a, b in matched if a]
    apart = [
        (own.attentions[a] - goal.attentions[b]).square().sum(-1).mean(1)[mask].mean()
        for a, b in maps
    ]
    term = {"name": "attention", "layers": [a for a, _ in maps]}
    found = value(term, student, teacher, batch)
    assert found == pytest.approx(float(sum(apart)) / len(apart), rel=1e-4)


def without(model, kind, *gone):
    """A model without some units of its first site of a kind."""
    site = next(iter(anatomy(model).of(kind).values()))
    stays = torch.ones(site.shape, dtype=torch.bool)
    stays[list(gone)] = False
    return shrink(model, Plan({site.name: stays}))


def test_heads_are_averaged_where_some_are_gone():
    model = tiny("bert")
    small, batch = without(model, "heads", 1, 3), batch_of(model)
    with pytest.raises(PrunusError, match=r"\(3, 2, 7, 7\), the teacher's \(3, 4, 7.*heads: mean"):
        value("attention", small, model, batch)
    mask = batch["attention_mask"] == 1
    own, goal = (seen(one, batch).attentions for one in (small, model))
    pairs = zip(own, goal, strict=True)
    apart = [(a.mean(1) - b.mean(1)).square().sum(-1)[mask].mean() for a, b in pairs]
    found = value({"name": "attention", "heads": "mean"}, small, model, batch)
    assert found == pytest.approx(float(sum(apart)) / len(apart), rel=1e-4)


def test_the_sum_is_weighted():
    student, teacher, batch = pair("bert")
    terms = [{"name": "labels"}, {"name": "logits", "weight": 0.5}, {"name": "hidden", "weight": 2}]
    objective = Objective(terms, teacher)
    total = float(objective(student, batch).detach())
    alone = {term["name"]: value(term | {"weight": 1}, student, teacher, batch) for term in terms}
    assert objective.last == pytest.approx(alone, rel=1e-6)
    expected = alone["labels"] + 0.5 * alone["logits"] + 2 * alone["hidden"]
    assert total == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("family", "cls"), MODELS)
def test_only_the_student_learns(family, cls):
    student, teacher, batch = pair(family, cls)
    teacher.train()
    teacher.base_model.eval()
    next(teacher.parameters()).requires_grad_(False)
    before, config = copy.deepcopy(teacher), copy.deepcopy(teacher.config)
    objective = Objective(EVERY.values(), teacher)
    found = [objective(student.train(), batch) for _ in range(2)]
    found[0].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    for own, was in zip(teacher.modules(), before.modules(), strict=True):
        assert own.training == was.training
    for own, was in zip(teacher.parameters(), before.parameters(), strict=True):
        assert torch.equal(own, was)
        assert own.requires_grad == was.requires_grad
    assert vars(teacher.config) == vars(config)
    assert student.config._attn_implementation == "sdpa"


def spied(model):
    """What a model is called with."""
    calls = []
    model.register_forward_pre_hook(lambda _, __, given: calls.append(given), with_kwargs=True)
    return calls


@pytest.mark.parametrize(("family", "cls"), MODELS)
def test_nothing_is_computed_that_no_term_asks_for(family, cls):
    student, teacher, batch = pair(family, cls)
    own, others = spied(student), spied(teacher)
    Objective(["labels"], teacher)(student, batch)
    assert not others
    assert own.pop().keys() == batch.keys()
    Objective(["logits"], teacher)(student, batch)
    marks = {"labels", "start_positions", "end_positions"}
    assert not marks & {*own[0], *others[0]}
    assert "output_hidden_states" not in own[0]
    asked = {name for name in own[0] if name.startswith("decoder")}
    assert asked == ({"decoder_input_ids"} if family == "t5" else set())
    Objective(["labels", "hidden"], teacher)(student, batch)
    assert marks & {*own[1]}
    assert not marks & {*others[1]}


def test_a_decoder_reads_the_same_with_and_without_labels():
    student, teacher, batch = pair("t5")
    told = value("logits", student, teacher, batch)
    shown = seen(student, batch).logits
    objective = Objective(["logits"], teacher)
    own = spied(student)
    objective(student, batch)
    again = seen(student, {k: v for k, v in own[0].items() if not k.startswith("output")}).logits
    assert torch.equal(shown, again)
    assert told > 0


def run(model, objective, batches, folder, passes=1):
    """The Trainer's weights after one pass over batches, in their order, by plain SGD.

    Where there are several passes, all batches are one step.
    """
    rows = [
        {name: one[name][row] for name in one}
        for one in batches
        for row in range(len(one["input_ids"]))
    ]
    size = len(next(iter(batches[0].values()))) * (len(batches) if passes > 1 else 1)

    def stacked(samples):
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    train(
        model, rows, stacked, folder, loss=objective, use_cpu=True, optim="sgd",
        batch_size=size, passes=passes, learning_rate=0.1, num_train_epochs=1, max_grad_norm=0,
        lr_scheduler_type="constant", train_sampling_strategy="sequential",
    )  # fmt: skip
    return model


def by_hand(model, objective, batches):
    """The same by a loop."""
    model.train()
    for batch in batches:
        model.zero_grad()
        objective(model, batch).backward()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.grad is not None:
                    weight -= 0.1 * weight.grad
    return model


DRY = {
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "t5": {"dropout_rate": 0.0},
    "llama": {},
}


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize(("family", "cls"), MODELS)
def test_the_trainer_takes_it(family, cls, passes, tmp_path):
    student, teacher, _ = pair(family, cls, **DRY[family])
    batches = [labelled(student, batch_of(student, seed=seed)) for seed in range(3)]
    objective = Objective(EVERY.values(), teacher)
    whole = [{name: torch.cat([one[name] for one in batches]) for name in batches[0]}]
    slow = by_hand(copy.deepcopy(student), objective, whole if passes > 1 else batches)
    before = copy.deepcopy(student)
    run(student, objective, batches, tmp_path, passes)
    moved = 0
    for (name, own), was in zip(student.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(own, slow.get_parameter(name), rtol=1e-4, atol=1e-6)
        moved += not torch.equal(own, was)
    assert moved > 10


def test_a_wrapped_model_is_the_same():
    student, teacher, batch = pair("t5")

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = student

        def forward(self, **batch):
            return self.module(**batch)

    objective = Objective(["logits", "hidden", "attention"], teacher)
    with torch.no_grad():
        assert torch.equal(objective(Wrapped(), batch), objective(student, batch))


def test_models_of_other_precision_are_compared():
    student, teacher, batch = pair("bert")
    exact = value("logits", student, teacher, batch)
    rough = value("logits", student, teacher.bfloat16(), batch)
    assert teacher.dtype == torch.bfloat16
    assert rough == pytest.approx(exact, rel=0.1)


def test_the_teacher_follows_the_student_to_its_device():
    student, teacher, batch = pair("bert")
    batch = {"input_ids": batch["input_ids"].to("meta")}
    objective = Objective(["logits", "hidden", "attention"], teacher)
    assert objective(student.to("meta"), batch).device.type == "meta"
    assert teacher.device.type == "meta"


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "no terms"),
        (["hidden"], "hidden: there is no teacher"),
        (["labels", "logits", "hidden"], "logits, hidden: there is no teacher"),
        (["labels", {"name": "labels", "weight": 2}], "labels is there twice"),
        (["logit"], "unknown loss term 'logit'. Did you mean 'logits'"),
        ([{"name": "logits", "weight": 0}], "greater than 0"),
        ([{"name": "logits", "temperatures": 1}], "temperatures.*Did you mean 'temperature'"),
        ([{"name": "hidden", "layers": []}], "at least 1"),
        ([{"name": "attention", "heads": "some"}], "'each' or 'mean'"),
    ],
)
def test_what_makes_no_sum_is_refused(terms, message):
    with pytest.raises(PrunusError, match=message):
        Objective(terms)


LABELS = {0: "bad", 1: "fair", 2: "good"}


@pytest.mark.parametrize(
    ("term", "student", "teacher", "message"),
    [
        ("logits", {}, {"num_labels": 5}, r"\(3, 3\).*\(3, 5\).*head, labels and vocabulary"),
        ("logits", {}, {"cls": "BertForTokenClassification"}, r"\(3, 3\).*\(3, 7, 3\)"),
        ("logits", {}, {"cls": "BertForQuestionAnswering"}, r"'logits'.*'start_logits'"),
        ("hidden", {}, {"vocab_size": 60}, "has 50 tokens, the teacher's 60"),
        ("hidden", {}, {"heads": 6}, r"\(3, 7, 32\).*\(3, 7, 48\).*unlike width"),
        ("attention", {}, {"heads": 6}, r"\(3, 4, 7, 7\).*\(3, 6, 7, 7\).*heads: mean"),
        ("hidden", {"layers": 3}, {"family": "t5"}, "of its layers, the teacher of encoder"),
        ({"name": "hidden", "layers": [3]}, {}, {}, "no layer 3: the student has 3 hidden_states"),
        ({"name": "attention", "layers": [-3]}, {}, {}, "no layer -3: the student has 2 att"),
        (
            "logits", {"id2label": LABELS}, {"id2label": {0: "GOOD", 1: "fair", 2: "bad"}},
            r"\['bad', 'fair', 'good'\], the teacher's \['good', 'fair', 'bad'\]: their order",
        ),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_told(term, student, teacher, message):
    own, other = tiny("bert", **student), tiny(**{"family": "bert", "seed": 1, **teacher})
    batch = {k: v for k, v in batch_of(own).items() if k != "labels"}
    if "T5" in type(other).__name__:
        batch["decoder_input_ids"] = batch["input_ids"]
        own = SimpleStudent(own)
    with pytest.raises(PrunusError, match=message):
        Objective([term], other).check(own, batch)


class SimpleStudent(nn.Module):
    """An encoder that is told more than it reads."""

    def __init__(self, model):
        super().__init__()
        self.module = model

    def forward(self, decoder_input_ids, **batch):
        return self.module(**batch)


def test_labels_of_the_same_names_in_the_same_order_pass():
    own, other = (tiny("bert", id2label=LABELS, seed=seed) for seed in (0, 1))
    Objective(["logits"], other).check(own, batch_of(own))


def test_missing_labels_are_told():
    model = tiny("bert")
    batch = {k: v for k, v in batch_of(model).items() if k != "labels"}
    with pytest.raises(PrunusError, match=r"the batch has \['attention_mask', 'input_ids'\]"):
        Objective(["labels"]).check(model, batch)


def test_a_teacher_that_would_learn_is_refused():
    student, _, batch = pair("bert")
    with pytest.raises(PrunusError, match=r"shares \d+ weights.*copy.deepcopy"):
        Objective(["logits"], student)(student, batch)
    with pytest.raises(PrunusError, match="would change with it"):
        Objective(["logits"], student).check(student, batch)
    teacher = tiny("bert", seed=1)
    teacher.bert.embeddings = student.bert.embeddings
    with pytest.raises(PrunusError, match=r"shares 5 weights with the student, such as bert\.emb"):
        Objective(["logits"], teacher)(student, batch)
    student.bert.embeddings.requires_grad_(False)
    Objective(["logits"], teacher)(student, batch)


def test_a_layer_without_attention_is_told():
    model = tiny("bert", layers=3)
    small, batch = without(model, "heads", 0, 1, 2, 3), batch_of(model)
    with pytest.raises(PrunusError, match="of 3 layers 2 have attention"):
        value({"name": "attention", "heads": "mean"}, small, model, batch)
    assert value("hidden", small, model, batch) > 0


def test_checkpointing_wants_maps_from_the_start():
    student, teacher, batch = pair("bert")
    student.train().activation_checkpointing_enable()
    with pytest.raises(PrunusError, match="set_attn_implementation"):
        Objective(["attention"], teacher)(student, batch)
    student.set_attn_implementation("eager")
    Objective(["attention"], teacher)(student, batch).backward()
    assert student.bert.encoder.layer[0].attention.self.query.weight.grad.any()


def test_models_are_as_they_were_after_an_error():
    student, teacher, batch = pair("bert")
    student.register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("stop")))
    with pytest.raises(RuntimeError, match="stop"):
        Objective(["attention"], teacher).check(student.train(), batch)
    assert student.config._attn_implementation == "sdpa"
    assert student.training
    assert all(p.requires_grad for p in student.parameters())
