import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_annotation_holds():
    """A test like any other, so that what checks it does not keep the other core waiting."""
    found = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
