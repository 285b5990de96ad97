"""`globalmin reproduce`: runs, panels and claims of a paper's figure."""

import difflib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from .. import report
from . import (
    du2019_ch3,
    du2019_fig2_1,
    du2019_fig4_1,
    du2019_fig4_2,
    du2019_fig5,
    du2019_fig6_3,
    du2019_fig6_4,
    du2019_fig7_2,
    du2019_fig7_3,
    du2019_fig7_4,
    du2019_table5_1,
    gao2022_fig1,
    ling2023_fig1,
    neural_ode_activations,
    neural_ode_convergence,
    noy2021_fig2,
    noy2021_fig3,
    noy2021_fig4,
)
from .run import Progress

Scale = Literal["small", "paper"]
Bar = Callable[[str, int], AbstractContextManager[Progress]]

FIGURES: dict[str, Any] = {
    "du2019-fig2.1": du2019_fig2_1,
    "du2019-ch3": du2019_ch3,
    "du2019-fig4.1": du2019_fig4_1,
    "du2019-fig4.2": du2019_fig4_2,
    "du2019-fig7.2": du2019_fig7_2,
    "du2019-fig7.3": du2019_fig7_3,
    "du2019-fig7.4": du2019_fig7_4,
    "du2019-fig5.1": du2019_fig5.Figure1,
    "du2019-fig5.2": du2019_fig5.Figure2,
    "du2019-table5.1": du2019_table5_1,
    "du2019-fig6.3": du2019_fig6_3,
    "du2019-fig6.4": du2019_fig6_4,
    "ling2023-fig1": ling2023_fig1,
    "gao2022-fig1": gao2022_fig1,
    "neural-ode-convergence": neural_ode_convergence,
    "neural-ode-activations": neural_ode_activations,
    "noy2021-fig2": noy2021_fig2,
    "noy2021-fig3": noy2021_fig3,
    "noy2021-fig4": noy2021_fig4,
}


def reproduce(figure: str, out: str | Path, *, scale: Scale = "small", seed: int = 0, bar: Bar) -> dict[str, Any]:
    """Run a figure's experiments into `out`, draw its panels and check its claims.

    **Returns:** figure, source, settings, `claims` (text, measured, asked, passed), where the figure has them `advice`
    (sentences) and `table` (columns, rows, notes), and the page's path; the same object is
    in `claims.json` of the folder. Each panel's runs are run folders of their own inside it.

    **Raises:** `ValueError` for an unknown figure (the nearest is named) or a folder that is not empty.
    """
    if figure not in FIGURES:
        near = difflib.get_close_matches(figure, FIGURES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIGURES)}"
        raise ValueError(f"figure: {figure!r} is unknown; {hint}")
    folder = report.check_free(out)
    module = FIGURES[figure]
    found = module.run(folder, scale, seed, bar)
    claims = [claim.to_dict() for claim in found["claims"]]
    result = {"figure": figure, "source": module.SOURCE, "scale": scale, "seed": seed, "settings": found["settings"]}
    result |= {"claims": claims} | {key: found[key] for key in ("advice", "table") if key in found}
    page = report.write_figure_page(folder, result, found["panels"], found["runs"])
    return {**result, "page": str(page)}
