"""Tiny BERTs whose matrices are of 32x32 blocks, and a mirror of a few rows of their tasks."""

import pyarrow as pa
from pyarrow import parquet

import prunus
from tests.recipes.dense import wordpiece
from tests.task import squad
from tests.tiny import tiny

LONG = 384
GLUE = {"mnli": ("premise", "hypothesis"), "qqp": ("question1", "question2")}
TASKS = ("squad", *GLUE)
ROWS = 8


def dense(folder, task):
    """A random BERT of one layer, with the head of a task and a tokenizer."""
    tokenizer = wordpiece()
    tokenizer.model_max_length = LONG
    head = "QuestionAnswering" if task == "squad" else "SequenceClassification"
    sizes = {"heads": 4, "width": 64, "layers": 1, "intermediate_size": 64}
    labels = {"num_labels": 3 if task == "mnli" else 2, "max_position_embeddings": LONG}
    prunus.save(tiny("bert", f"BertFor{head}", **sizes, **labels), folder, tokenizer)


def mirror(folder, tasks=TASKS):
    """The data of tasks, as ``$PRUNUS_DATA`` holds it."""
    for task in tasks:
        if task == "squad":
            place, table = "rajpurkar/squad/plain_text", _questions()
        else:
            place, table = f"nyu-mll/glue/{task}", _pairs(task)
        (folder / place).mkdir(parents=True)
        for split in ("train", "validation_matched" if task == "mnli" else "validation"):
            parquet.write_table(table, folder / place / f"{split}.parquet")


def _questions():
    asked = (squad.row(f"the film word{n} is good", "good film", f"word{n}") for n in range(ROWS))
    return pa.Table.from_pylist(list(asked))


def _pairs(task):
    texts = [f"good film word{n}" for n in range(ROWS)]
    return pa.table({**dict.fromkeys(GLUE[task], texts), "label": [0, 1] * (ROWS // 2)})
