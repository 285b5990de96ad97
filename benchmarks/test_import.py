"""Importing globalmin against importing JAX: whole processes, CPU seconds, medians of alternated runs."""

import resource
import statistics
import subprocess
import sys


def cpu_seconds(statement: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import(benchmark):
    pairs = [(cpu_seconds("import globalmin"), cpu_seconds("import jax")) for _ in range(9)]
    ratio = statistics.median(ours / jax for ours, jax in pairs)
    benchmark.extra_info["over_jax"] = ratio
    benchmark.pedantic(lambda: cpu_seconds("import globalmin"), rounds=3)
    assert ratio < 1.5
