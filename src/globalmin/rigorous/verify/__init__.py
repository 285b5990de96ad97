from .check import Checked as Checked
from .check import verify as verify
from .claims import RefutedError as RefutedError
