"""Imported before rows run: what they save is opened where they run, to save the seconds."""

import prunus
from prunus.recipe import _fresh, _steps


def _answered(folder, batch, device):
    return _fresh.answer(prunus.load(folder), batch)


_steps.fresh_answer = _answered
