from .linalg import Estimate as Estimate
from .results import RESULTS as RESULTS
from .results import UnsolvedError as UnsolvedError
