r"""Deep smooth networks: Theorems 3.1-3.3 of Du's thesis, chapter 3 (Du, Lee, Li, Wang, Zhai, ICML 2019), with corrections.

All layers train on L = ½‖u − y‖² with one step size; the proofs use the share G^(H) of the last hidden layer alone, whose
limit is K^(H), λ₀ = λ_min(K^(H)). They show by induction that no weight moves beyond R′√m, that G^(H) therefore stays
within λ₀/4 of its start, and that a step shrinks the loss: −2η·λ₀/2 + 2·ηλ₀/8 + ηλ₀/8 ≤ −ηλ₀/2.

The certificates ask for the numbers of the network at hand where the source has a probability, so they say nothing of
chance. What cannot hold at any width that a computer has is the condition on m: 10²¹ for three samples and two layers.
"""

from .dense import DenseDescent as DenseDescent
from .dense import DenseDescentPrinted as DenseDescentPrinted
from .initial import InitialGramMeasured as InitialGramMeasured
from .initial import InitialGramPrinted as InitialGramPrinted
from .initial import InitialNorms as InitialNorms
from .initial import PositiveLimit as PositiveLimit
from .initial import ResidualInitialNorms as ResidualInitialNorms
from .initial import ResidualLimit as ResidualLimit
from .residual import ResidualDescent as ResidualDescent
from .residual import ResidualDescentPrinted as ResidualDescentPrinted
from .start import Smooth as Smooth
from .start import Start as Start
