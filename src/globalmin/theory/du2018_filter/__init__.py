"""Learning one convolutional filter from any distribution of patches: Du's thesis, chapter 6."""

from .descent import ADAPTIVE as ADAPTIVE
from .descent import AdaptiveDescent as AdaptiveDescent
from .descent import Closeness as Closeness
from .descent import Converges as Converges
from .descent import ManyPatches as ManyPatches
from .descent import ManyPatchesPrinted as ManyPatchesPrinted
from .descent import OneNeuron as OneNeuron
from .descent import OneNeuronPrinted as OneNeuronPrinted
from .descent import RandomStart as RandomStart
from .start import Start as Start
from .stochastic import RealizableDescent as RealizableDescent
from .stochastic import StochasticDescent as StochasticDescent
from .stochastic import StochasticDescentPrinted as StochasticDescentPrinted
