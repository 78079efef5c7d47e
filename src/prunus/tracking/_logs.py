"""What a Trainer logs, told."""

from typing import Any

from transformers import TrainerCallback

from prunus.tracking import heard, tell

EVERY = 10
"""Steps from one log to the next."""


class Logs(TrainerCallback):
    """Tells the loss, its gradient's norm and the learning rate."""

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Tell the numbers among what is logged."""
        logs = {k: v for k, v in given["logs"].items() if isinstance(v, int | float)}
        tell(lambda: logs, state.global_step)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Tell that its steps are over: those of the next training begin at 0."""
        tell(dict)


def logging() -> dict[str, Any]:
    """How often a Trainer logs: not at all where nobody listens."""
    if not heard():
        return {"logging_strategy": "no"}
    return {"logging_strategy": "steps", "logging_steps": EVERY, "logging_first_step": True}
