"""What tests of run folders share: trajectories that show a mixture of two writes, and a trap for pickle."""

import numpy as np

from globalmin.report import open_run


def one_line(excinfo, *words):
    message = str(excinfo.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def constant(generation, length=30):
    """A trajectory all of whose numbers are its generation: a mixture of two shows."""
    looks = np.arange(length + generation % 7)
    return looks, {name: np.full(len(looks), float(generation)) for name in ("loss", "lambda_min", "distance")}


def generation_of(folder):
    dataset = open_run(folder.path).trajectory
    values = {float(v) for name in ("loss", "lambda_min", "distance") for v in dataset[name].values}
    assert len(values) == 1
    generation = int(values.pop())
    assert dataset.sizes["epoch"] == 30 + generation % 7
    return generation


def leftovers(folder):
    return [p.name for p in folder.path.rglob(".*")]


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")
