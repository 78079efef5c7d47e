"""The flags of neural-compressor's GLUE examples; imports no torch."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
)  # fmt: skip


def flags(program: str, arguments: Sequence[str] | None) -> Namespace:
    """What the command line says, with the published defaults."""
    parser = ArgumentParser(
        program, description="Fine-tune on a GLUE task, pruning or not.", allow_abbrev=False
    )
    _learning(parser)
    _pruning(parser)
    return parser.parse_args(arguments)


def _learning(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name_or_path", required=True, help="a folder or a hub id")
    add("--task_name", required=True, choices=TASKS, help="the GLUE task")
    add("--max_length", type=int, default=128, help="tokens at which texts are cut off")
    add("--pad_to_max_length", action="store_true", help="pad all texts to that length")
    add("--per_device_train_batch_size", type=int, default=8, help="examples in a batch")
    add("--per_device_eval_batch_size", type=int, default=8, help="of the evaluation")
    add("--learning_rate", type=float, default=5e-5, help="its highest value")
    add("--weight_decay", type=float, default=0.0, help="not of biases and norms")
    add("--num_train_epochs", type=int, default=3, help="passes over the training split")
    add("--max_train_steps", type=int, help="optimizer steps; overrides num_train_epochs")
    add("--gradient_accumulation_steps", type=int, default=1, help="batches of a step")
    add("--lr_scheduler_type", default="linear", choices=SCHEDULERS, help="of the learning rate")
    add("--num_warmup_steps", type=int, default=0, help="in which the learning rate rises")
    add("--output_dir", help="the folder of the result; none is written where left out")
    add("--seed", type=int, help="of everything that is drawn")


def _pruning(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--do_prune", action="store_true", help="prune; without it the model stays dense")
    add("--target_sparsity", type=float, default=0.8, help="the fraction of weights that goes")
    add("--pruning_pattern", default="4x1", help="such as 4x1, 2:4, 1xchannel")
    add("--pruning_type", default="snip_momentum", help="the criterion")
    add("--pruning_frequency", type=int, default=-1, help="steps between masks; -1: 40 masks")
    add("--sparsity_warm_epochs", type=int, default=0, help="epochs before pruning")
    add("--cooldown_epochs", type=int, default=0, help="epochs after pruning")
    add("--distill_loss_weight", type=float, default=0.0, help="above 0: learn from the teacher")
    add("--teacher_model_name_or_path", help="the teacher; the model itself where left out")
