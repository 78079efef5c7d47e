"""Where models and data live: on this machine first, inside a package, and only then on the hub."""

import importlib.util
from os.path import exists, expanduser
from pathlib import Path

from huggingface_hub import HfApi, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from prunus.errors import PrunusError

PACKAGE = "package:"


def resolve(where: str | Path) -> Path | str:
    """The folder of a model, or its hub id where no such folder exists and the hub has it.

    Args:
        where: a path, ``package:module/folder`` for a folder inside an installed package (which
            is not imported), or a hub id.

    Raises:
        PrunusError: it is in none of these places; said at once, without retries.
    """
    return local(where) or on_hub(str(where), "model")


def local(where: str | Path) -> Path | None:
    """The file or folder at ``where`` on this machine, None where there is none.

    Raises:
        PrunusError: ``where`` names a package, and it or the file inside it is missing.
    """
    if str(where).startswith(PACKAGE):
        return _in_package(str(where).removeprefix(PACKAGE))
    path = Path(expanduser(where))
    return path if exists(path) else None


def on_hub(name: str, kind: str, looked: str = "") -> str:
    """The hub id ``name``, once it is certain that the hub or its cache can serve it.

    One short request asks for it: the hub's clients would try an unreachable name for half a
    minute.

    Args:
        name: an id such as ``nyu-mll/glue``.
        kind: ``model`` or ``dataset``.
        looked: one more place where it was looked for in vain, told by the error.

    Raises:
        PrunusError: it is no id, the hub has no such thing, or the hub cannot be asked.
    """
    why = _why_not(name, kind)
    if why is None:
        return name
    here = f"no such file or folder (looked from {Path.cwd()})"
    places = "; ".join(place for place in (here, looked, why) if place)
    raise PrunusError(f"{kind} {name!r} was not found: {places}. Check the name or the path.")


def _why_not(name: str, kind: str) -> str | None:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "it is no hub id either (`name` or `owner/name`)"
    if is_offline_mode():
        cached = kind == "dataset" or isinstance(try_to_load_from_cache(name, "config.json"), str)
        return None if cached else "the hub is switched off (HF_HUB_OFFLINE) and its cache is empty"
    try:
        HfApi().repo_info(name, repo_type=kind, timeout=10)
    except Exception as error:  # whatever the hub's client and its transport may raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return f"the hub answered {reason!r} (HF_HUB_OFFLINE=1 reads its cache)"
    return None


def _in_package(inside: str) -> Path:
    module, _, rest = inside.partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise PrunusError(
            f"'{PACKAGE}{inside}': no package {module!r} is installed here;"
            f" `pip install` the one that holds it (the form is {PACKAGE}module/folder/file)"
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    found = next((folder / rest for folder in folders if (folder / rest).exists()), None)
    if found is None:
        raise PrunusError(f"'{PACKAGE}{inside}': the package has no {rest!r} in {folders[0]}")
    return found
