"""Writes the shipped schemas: ``python -m drfsm.evidence.schemas [DIRECTORY]``, receipts_schema unless named."""

import sys
from collections.abc import Sequence
from pathlib import Path

from drfsm.evidence.schemas import files


def main(argv: Sequence[str]) -> int:
    """Write every schema into a directory that is there. Returns 2, and says why, where it is not."""
    directory = Path(argv[0] if argv else "receipts_schema")
    if len(argv) > 1 or not directory.is_dir():
        sys.stderr.write(f"{directory} is no directory: type this at the root of a checkout, or name one directory\n")
        return 2
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{directory / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
