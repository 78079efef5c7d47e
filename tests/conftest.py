"""What every test needs: no network, one thread, the same examples each time."""

import os

import torch
from hypothesis import HealthCheck, Phase, settings

os.environ["HF_HUB_OFFLINE"] = "1"
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
