# SPDX-License-Identifier: MIT
"""The tests of the image use the modules of tests/api."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))
