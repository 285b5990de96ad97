"""Virtual environments of the peers, built on first use under `.benchmarks/` and kept, and workers that run in them."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2] / ".benchmarks" / "environments"


class PeerUnavailableError(Exception):
    """The environment could not be built; the message is the installer's last line."""


def python_of(name: str, requirements: tuple[str, ...]) -> str:
    """The interpreter of the environment `name`, built if there is none with these requirements."""
    folder = ROOT / name
    interpreter, ready = folder / "bin" / "python", folder / "ready.txt"
    if ready.exists() and ready.read_text().split("\n") == list(requirements):
        return str(interpreter)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(interpreter), "-m", "pip", "install", "--quiet", *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
            raise PeerUnavailableError(f"{' '.join(requirements)} could not be installed: {reason}")
    ready.write_text("\n".join(requirements))
    return str(interpreter)


class Worker:
    """A process on one core, with one thread, that answers each request line with a line of JSON."""

    def __init__(self, interpreter: str, script: str, problem: pathlib.Path, core: int = 0):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [interpreter, str(pathlib.Path(__file__).parent / script), str(problem)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )

    def ask(self, request: str) -> dict:
        """Send a request, wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(request, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self.process.wait()} at the request {request!r}")
        return json.loads(line)

    def close(self) -> None:
        """End the worker by closing its input."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
