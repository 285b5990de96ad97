"""A prediction in function space as a table."""

from collections.abc import Mapping
from typing import Any

from .formats import number, with_error

ROWS = (
    ("n", "training samples"),
    ("n_test", "test samples"),
    ("largest_step_size", "largest stable step size, 2/λ_max"),
    ("training_loss", "training loss ½‖u − y‖²"),
    ("log_evidence", "log density of the labels"),
    ("largest_deviation", "largest standard deviation at a test sample"),
    ("test_mean_square", "mean squared error of the test samples"),
    ("test_accuracy", "share of test samples with the right sign"),
)


def print_prediction(found: Mapping[str, Any], console: Any = None) -> None:
    """What was predicted, the kernel's spectrum, losses, and the convention that they are in."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{found['system']}, {found['kernel']}: {found['method']}", show_header=False)
    table.add_row("λ_min of the kernel", with_error(found["lambda_min"], found["eigenvalue_error"]))
    table.add_row("λ_max of the kernel", number(found["lambda_max"]))
    for key, text in ROWS:
        if key in found:
            table.add_row(text, number(found[key]))
    console = Console() if console is None else console
    console.print(table)
    if found.get("stable") is False:
        console.print("the step size is beyond 2/λ_max: the linear dynamics diverge; lower it")
    if "convention" in found:
        console.print(found["convention"], soft_wrap=True)
    if "out" in found:
        console.print(f"outputs: {found['out']}", soft_wrap=True)
