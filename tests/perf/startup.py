"""Wall time of `evalharness --help` beside a bare interpreter: `python tests/perf/startup.py`."""

import statistics
import subprocess
import sys
import time

REPEATS = 20


def median_seconds(command: list[str]) -> float:
    """Of `REPEATS` runs after one to warm the disk cache."""
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    bare = median_seconds([sys.executable, "-c", "pass"])
    for arguments in (["--help"], ["run", "--help"]):
        ours = median_seconds([sys.executable, "-m", "evalharness", *arguments])
        print(
            f"evalharness {' '.join(arguments):12} {ours:.3f} s  "
            f"bare python {bare:.3f} s  ratio {ours / bare:.1f}"
        )
