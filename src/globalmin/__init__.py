"""Why gradient descent finds global minima of over-parameterized networks: for this network, on this data."""

from ._core import RESULTS as RESULTS
from ._core import Estimate as Estimate
