"""Prints the shell blocks of README.md of one kind: `readme.py test|walk-through README.md`.

The kind is the second word of the fence: ```bash test, ```bash walk-through. Blocks are printed unchanged, in order.
"""

import re
import sys
from pathlib import Path

wanted, readme = sys.argv[1], Path(sys.argv[2]).read_text()
blocks = re.findall(rf"^```bash {re.escape(wanted)}\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
if not blocks:
    sys.exit(f"README.md has no block that begins with ```bash {wanted}")
print("".join(blocks), end="")
