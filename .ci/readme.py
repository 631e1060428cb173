"""Prints what README.md tells a reader to type: `readme.py test|walk-through README.md`.

A block counts by the second word of its fence: ```bash test, ```bash walk-through. Exactly as written, in order.
"""

import re
import sys
from pathlib import Path

wanted, readme = sys.argv[1], Path(sys.argv[2]).read_text()
blocks = re.findall(rf"^```bash {re.escape(wanted)}\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
if not blocks:
    sys.exit(f"README.md has no block that begins with ```bash {wanted}")
print("".join(blocks), end="")
