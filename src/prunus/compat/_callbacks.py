"""The callbacks of a training loop that tells of its steps itself."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from prunus.compat._config import PrunerConfig
from prunus.compat._pruning import Pruning
from prunus.errors import PrunusError

Hook = Callable[..., Any]


class Told(Optimizer):
    """Stands for an optimizer that it never sees: its steps are told, before and after."""

    def __init__(self, model: nn.Module) -> None:
        """Of all of a model's parameters."""
        super().__init__(model.parameters(), {})
        self._first: OrderedDict[int, Hook] = OrderedDict()
        self._then: OrderedDict[int, Hook] = OrderedDict()
        self._begun, self.steps = False, 0

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call a function before every step."""
        return _kept(self._first, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call a function after every step."""
        return _kept(self._then, hook)

    def before(self) -> None:
        """A step begins.

        Raises:
            PrunusError: the end of the last one was not told.
        """
        self._turn("on_before_optimizer_step", begun=False)
        for hook in self._first.values():
            hook(self, (), {})

    def after(self) -> None:
        """A step is done.

        Raises:
            PrunusError: its beginning was not told.
        """
        self._turn("on_after_optimizer_step", begun=True)
        self.steps += 1
        for hook in self._then.values():
            hook(self, (), {})

    def _turn(self, name: str, *, begun: bool) -> None:
        if self._begun != begun:
            raise PrunusError(
                f"{name}: each optimizer.step() needs on_before_optimizer_step() right before it,"
                " and on_after_optimizer_step() right after it"
            )
        self._begun = not begun


class Callbacks:
    """What a training loop calls; where a step is due, it prunes.

    Attributes:
        pruning: at work from ``on_train_begin`` on.
    """

    def __init__(self, model: nn.Module, configs: Sequence[PrunerConfig]) -> None:
        """Nothing is hooked yet."""
        self._model, self._configs = model, configs
        self._told = Told(model)
        self._before_epoch = 0
        self.pruning: Pruning | None = None

    def on_train_begin(self, dataloader: object = None) -> None:
        """Choose the layers; ``dataloader`` is not looked at.

        Raises:
            PrunusError: see :class:`Pruning`, or it was called before.
        """
        if self.pruning is not None:
            raise PrunusError("on_train_begin was called before: prepare_compression anew")
        self.pruning = Pruning(self._model, self._configs, self._told)

    def on_epoch_begin(self, epoch: int) -> None:
        """An epoch begins."""
        self._before_epoch = self._begun("on_epoch_begin").steps

    def on_step_begin(self, step: int = 0) -> None:
        """A batch comes; masks were chosen when the last step was done."""
        self._begun("on_step_begin")

    def on_after_compute_loss(
        self, batch: Any, output: Any, loss: Any, teacher_output: Any = None
    ) -> Any:
        """The loss, as it is."""
        self._begun("on_after_compute_loss")
        return loss

    def on_before_optimizer_step(self) -> None:
        """Weights and gradients are looked at.

        Raises:
            PrunusError: the end of the last step was not told.
        """
        self._begun("on_before_optimizer_step").before()

    def on_after_optimizer_step(self) -> None:
        """What went is zero, and more goes where that is due.

        Raises:
            PrunusError: the beginning of the step was not told.
        """
        self._begun("on_after_optimizer_step").after()

    def on_step_end(self) -> None:
        """A batch is done."""
        self._begun("on_step_end")

    def on_epoch_end(self) -> None:
        """An epoch is done.

        Raises:
            PrunusError: no step of the optimizer was told in it.
        """
        if self._begun("on_epoch_end").steps == self._before_epoch:
            raise PrunusError(
                "an epoch without a step: call on_before_optimizer_step() before optimizer.step(),"
                " and on_after_optimizer_step() after it, else nothing is pruned"
            )

    def on_before_eval(self) -> None:
        """The model is as it will be saved."""

    def on_after_eval(self) -> None:
        """Nothing was changed."""

    def on_train_end(self) -> None:
        """Let go of the model.

        Raises:
            PrunusError: the training ended before the pruning did.
        """
        self._begun("on_train_end")
        if self.pruning is not None:
            self.pruning.detach()

    def _begun(self, name: str) -> Told:
        if self.pruning is None:
            raise PrunusError(f"{name} before on_train_begin(), which chooses what is pruned")
        return self._told


def _kept(hooks: OrderedDict[int, Hook], hook: Hook) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle
