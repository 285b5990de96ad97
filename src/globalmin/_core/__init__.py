from .linalg import Estimate as Estimate
from .results import RESULTS as RESULTS
