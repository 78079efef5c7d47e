"""Scoring takes no more memory over more calibration data."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2**20


def growth(tokens: int) -> int:
    """By how many bytes memory grew over so many tokens, in a process of its own."""
    script = Path(__file__).parent / "memory.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, str(tokens)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_fifty_thousand_tokens_take_no_more_memory_than_two_thousand():
    """Kept, the activations of one layer alone would be 50,000 x 64 x 4 bytes = 12 MiB."""
    assert growth(50_000) < 4 * MEBIBYTE
