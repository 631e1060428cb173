"""Node.js, for the examples in JavaScript: NODE, or where distributions put it; not PATH, where CI has a stub."""

import os
from pathlib import Path

import pytest

PLACES = (os.environ.get("NODE", ""), "/usr/bin/node", "/usr/local/bin/node")
PROGRAM = next((place for place in PLACES if Path(place).is_file()), None)

with_node = pytest.mark.skipif(PROGRAM is None, reason="this machine has no Node.js: install it, or set NODE")
