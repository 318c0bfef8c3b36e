"""One thread, and examples without a stopwatch: tests share their machine with others."""

import torch
from hypothesis import HealthCheck, settings

settings.register_profile("horner", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("horner")
torch.set_num_threads(1)
