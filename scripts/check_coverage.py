"""Fails unless every line and branch under the given folders was covered by the run that wrote .coverage."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main(folders: list[str]) -> int:
    """Print what is missing; 0 where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)], check=True)
        files = json.loads(report.read_text())["files"]
    missing = 0
    for name, file in sorted(files.items()):
        if not name.startswith(tuple(folders)):
            continue
        lines, branches = file["missing_lines"], file.get("missing_branches", [])
        if lines or branches:
            missing += 1
            print(f"{name}: lines {lines} branches {branches} are not covered")
    seen = sum(name.startswith(tuple(folders)) for name in files)
    print(f"coverage of {', '.join(folders)}: {seen - missing} of {seen} files complete")
    return 1 if missing or not seen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
