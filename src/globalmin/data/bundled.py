"""The data sets that come with scikit-learn: no network, no files.

Measured on the sets themselves: no two of the 1,797 digits are equal or parallel, the closest two enclose 0.0937
radians. The deviations of breast-cancer's columns differ by a factor of 2e5, so that its raw rows crowd around one
direction (0.08 radians apart in the median): `load` standardises its columns before it normalises rows.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped


@dataclasses.dataclass(frozen=True)
class Raw:
    """A whole set as its source stores it, before anything is chosen or scaled.

    `x` keeps the dtype in which it is stored (pixels: one byte, an eighth of float64); the rows that are chosen become
    float64, divided by `levels`. `class_names` is None where the labels are measured numbers. `train_rows`: how many
    rows at the start are the set's official training part, None where there is none.
    """

    x: Shaped[np.ndarray, "n d"]
    y: Float64[np.ndarray, " n"]
    source: dict[str, Any]
    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None
    train_rows: int | None = None
    levels: float = 1.0


NAMES = {
    "digits": "handwritten digits, 1,797 images of 8 × 8, classes 0 to 9",
    "breast-cancer": "Wisconsin breast cancer, 569 rows of 30 measurements, malignant (0) or benign (1)",
    "diabetes": "progression of diabetes, 442 rows of 10 measurements, labels measured",
}


def read(name: str) -> Raw:
    """One of `NAMES`, whole. Pixels of the digits run from 0 to 16.

    **Source:** scikit-learn's `load_digits`, `load_breast_cancer`, `load_diabetes`.
    """
    # Here and not at the top: importing scikit-learn takes longer than importing this library.
    import sklearn
    from sklearn import datasets

    function = {
        "digits": datasets.load_digits,
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": datasets.load_diabetes,
    }[name]
    bunch: Any = function()
    return Raw(
        x=np.asarray(bunch.data, np.float64),
        y=np.asarray(bunch.target, np.float64),
        source={"kind": "bundled", "package": f"scikit-learn {sklearn.__version__}", "function": function.__name__},
        class_names=None if name == "diabetes" else tuple(str(c) for c in bunch.target_names),
        image_shape=(8, 8) if name == "digits" else None,
    )
