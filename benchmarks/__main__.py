"""`make bench`: every benchmark, or those named on the command line; tables on stdout, figures as JSON beside them."""

import json
import platform
import sys
import time
from importlib import import_module
from pathlib import Path

BENCHMARKS = ("governed", "mirrored", "append", "verify", "query", "proofs", "policy", "replay", "workflows", "parked")
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> None:
    """Run them one after the other: two at once would measure each other."""
    figures: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names or BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        print(f"\n== {name}: {(module.__doc__ or '').strip().splitlines()[0]}", flush=True)
        figures[name] = module.main()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    path.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")
    print(f"\nwritten: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main(sys.argv[1:])
