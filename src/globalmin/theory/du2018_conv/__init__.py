"""Learning a two-layer convolutional network despite a spurious minimum: Du's thesis, chapter 5."""

from .basins import GlobalBasin as GlobalBasin
from .basins import RandomStart as RandomStart
from .basins import Spurious as Spurious
from .basins import SpuriousBasin as SpuriousBasin
from .basins import SpuriousPrinted as SpuriousPrinted
from .lemmas import AlignmentGrows as AlignmentGrows
from .lemmas import AlignmentStaysPositive as AlignmentStaysPositive
from .lemmas import AngleContracts as AngleContracts
from .lemmas import AngleShrinks as AngleShrinks
from .lemmas import LossBound as LossBound
from .lemmas import OutputContracts as OutputContracts
from .lemmas import TotalConverges as TotalConverges
from .lemmas import TotalStaysBelow as TotalStaysBelow
from .phases import TwoPhases as TwoPhases
from .phases import TwoPhasesPrinted as TwoPhasesPrinted
from .start import Start as Start
