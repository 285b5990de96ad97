r"""Gated networks (GReLU): the lemmas and theorems of Noy, Xu, Aflalo, Zelnik-Manor, Jin (2021), printed and repaired.

f_i = B D_L^i W_L D_{L−1}^i … D_1^i W_1 D_0^i C x_i with fixed patterns D; h_k^i the features after layer k, F_{k+1}^i the
map from layer k to the output, and L trained layers of width m. The tangent kernel is
K_ij = Σ_k ⟨h_{k−1}^i, h_{k−1}^j⟩ F_{k+1}^i F_{k+1}^{jᵀ}, and its size is Lm²/(d_xd_y).

**Printed.** Theorem 1 asks for m of order n²Ld_y, its proof for a K that is diagonally dominant: nγ ≤ α²/(2β²), (17).
Theorem 6, which is to give a small γ, analyses other gates than the network has and drops terms (E11, E12); measured, (17)
fails by one to three orders of magnitude wherever λ_min(K) is healthy. The printed step size has no m (E16).

**Here.** `OneStep` is Lemma 3 with the powers and factors that its proof has; `Descent` closes it over all steps on a ball
whose constants are explicit. Both ask for (17), and so rarely hold. What replaces them is the Kantorovich certificate with
the multilinear bounds of `theory/curvature/gated.py`.
"""

from .change import GradientChange as GradientChange
from .change import GradientChangePrinted as GradientChangePrinted
from .change import KernelChange as KernelChange
from .descent import ConvergencePrinted as ConvergencePrinted
from .descent import Descent as Descent
from .descent import OneStep as OneStep
from .descent import OneStepPrinted as OneStepPrinted
from .descent import corrected_step_size as corrected_step_size
from .descent import printed_step_size as printed_step_size
from .measured import Spectra as Spectra
from .measured import edges as edges
from .measured import feature_maps as feature_maps
from .measured import measure as measure
from .spectra import Decorrelation as Decorrelation
from .spectra import DecorrelationPrinted as DecorrelationPrinted
from .spectra import SpectraMeasured as SpectraMeasured
from .spectra import SpectraPrinted as SpectraPrinted
from .start import Start as Start
from .table import Row as Row
from .table import table1 as table1
from .transform import Equivalence as Equivalence
from .transform import EquivalencePrinted as EquivalencePrinted
