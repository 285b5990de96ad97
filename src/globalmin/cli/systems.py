"""`globalmin systems`: what there is."""

from .base import Command, print_json


class Systems(Command):
    """List every system with its paper and what is available for it.

    Example: globalmin systems --errata
    """

    errata: bool = False
    """List the corrections of the sources instead: where, printed, corrected, why."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Print the list."""
        from ..systems import OBJECTIVES, SYSTEMS
        from ..theory import ERRATA

        if self.json_output and self.errata:
            print_json([vars(e) for e in ERRATA.values()])
        elif self.json_output:
            print_json(
                [
                    {
                        "name": kind.name,
                        "title": kind.title,
                        "paper": kind.paper,
                        "status": "built",
                        "options": [*kind.options, *kind.kernel_options],
                        "theorems": list(kind.theorems_listed),
                        "figures": list(kind.figures),
                    }
                    for kind in SYSTEMS.values()
                ]
                + [
                    {
                        "name": kind.name,
                        "title": kind.title,
                        "paper": kind.paper,
                        "status": "built",
                        "objective": True,
                        "theorems": list(kind.theorems_listed),
                        "figures": list(kind.figures),
                    }
                    for kind in OBJECTIVES.values()
                ]
            )
        elif self.errata:
            _print_errata(ERRATA)
        else:
            _print_systems({**SYSTEMS, **OBJECTIVES})
        return 0


def _print_systems(systems) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("system", "what it is", "paper", "theorems", "figures", title="Systems")
    for kind in systems.values():
        table.add_row(kind.name, kind.title, kind.paper, ", ".join(kind.theorems_listed), ", ".join(kind.figures))
    Console().print(table)


def _print_errata(errata) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "where", "printed", "corrected", "why", title="Corrections of the sources", show_lines=True)
    for e in errata.values():
        table.add_row(e.id, *(Text(part) for part in (e.where, e.printed, e.corrected, e.why)))
    Console().print(table)
