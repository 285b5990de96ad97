r"""ReLU implicit networks: the lemmas and theorems of Gao, Liu, Liu, Rajan, Gao (ICLR 2022), printed and repaired.

φ_i = relu(W x_i)/√m, z_i = relu(g A z_i + φ_i), g = γ/√m, f_i = u·z_i + v·φ_i with ‖x_i‖ = 1, A_ij, W_ij ~ N(0, 1) and
u_j, v_j = ±1; all four train on L = ½‖r‖², r = f − y. G = ΦΦᵀ (Φ the n × m matrix of the φ_i) is the skip connection's
share of the tangent kernel, and λ₀ = λ_min(G^∞), G^∞ its limit.

**Printed.** The induction of Theorem 3.1 never starts (erratum A4) and that of Theorem 3.2 never closes (A6). Beside them
stand theorems with instances. Write ‖A(0)‖, ‖W(0)‖ ≤ c√m, c ≥ 1, γ ≤ min(1/2, 1/(4c)); while ‖A‖, ‖W‖ ≤ 2c√m this gives
g‖A‖ ≤ 1/2, ‖φ_i‖ ≤ 2c, ‖z_i‖ ≤ 4c. With ‖u‖, ‖v‖ ≤ b√m the adjoints have ‖r_i‖ ≤ 2b√m, so that

    ‖∂L/∂u‖ ≤ 4c√n‖r‖,  ‖∂L/∂v‖ ≤ 2c√n‖r‖,  ‖∂L/∂W‖_F ≤ 3b‖X‖‖r‖,  ‖∂L/∂A‖_F ≤ 2bγ‖Z‖‖r‖ ≤ 2b√n‖r‖.

- `GradientFlow` (A-GF1): b = 2. The rate λ/2 of ‖r‖ bounds ∫‖r‖ by 2‖r₀‖/λ, and the four bounds keep all four weights
  where they were assumed to be.
- `BlockFlow` (A-GF2): Newton-Kantorovich on the block Φ, which is Lipschitz in W with constant ‖X‖/√m. It asks for
  nothing about c, u or v, and it can be asked at every iterate.
- `TwoRateDescent` (A-GD): steps α for (u, v), τα for (A, W). r⁺ = (I − α(ZZᵀ + ΦΦᵀ))r + (Z⁺ − Z)u⁺ + (Φ⁺ − Φ)v⁺, the last
  two terms together at most ταb²(9‖X‖² + 4γ²‖Z‖²)‖r‖. `ZeroReadout` is τ = 1 from u(0) = v(0) = 0: plain descent.

In these, λ is any positive number up to ½ with λ_min(G(0)) ≥ 3λ/4; the certificates take min(λ₀, 4λ_min(G(0))/3).
"""

from .descent import GradientDescentPrinted as GradientDescentPrinted
from .descent import TwoRateDescent as TwoRateDescent
from .descent import ZeroReadout as ZeroReadout
from .flow import BlockFlow as BlockFlow
from .flow import GradientFlow as GradientFlow
from .flow import GradientFlowPrinted as GradientFlowPrinted
from .initial import Contraction as Contraction
from .initial import FeatureRadius as FeatureRadius
from .initial import FeatureRadiusPrinted as FeatureRadiusPrinted
from .initial import GeometricLimit as GeometricLimit
from .initial import InitialGramChernoff as InitialGramChernoff
from .initial import InitialGramEntrywise as InitialGramEntrywise
from .initial import InitialGramMeasured as InitialGramMeasured
from .initial import InitialGramPrinted as InitialGramPrinted
from .initial import InitialNorms as InitialNorms
from .initial import OneSided as OneSided
from .initial import PositiveLimit as PositiveLimit
from .initial import hermite_square as hermite_square
from .start import Start as Start
