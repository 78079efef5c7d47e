"""What every test needs: no network, one thread, the same examples each time."""

import atexit
import os
import tempfile

import torch
from hypothesis import HealthCheck, Phase, settings

os.environ["HF_HUB_OFFLINE"] = "1"
MODULES = tempfile.TemporaryDirectory(prefix="prunus-modules-")
os.environ["HF_MODULES_CACHE"] = MODULES.name  # where transformers copies portable files to
atexit.register(MODULES.cleanup)
torch.set_num_threads(1)
settings.register_profile(
    "laws",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=8,
    print_blob=False,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("laws")
