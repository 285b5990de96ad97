r"""ReLU deep equilibrium models: the theorems of Ling, Xie, Wang, Zhang, Lin (AISTATS 2023), printed and repaired.

Z = φ(WZ + UX), f = aᵀZ with ‖x_i‖ = √d, W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m); all three train on
L = ½‖r‖², r = f − y. G = ZᵀZ is the read-out's share of the tangent kernel, λ₀ = λ_min(G(0)) = σ_min(Z(0))².

**Printed.** Condition 1 (7)-(9) with Theorem 1 and its step size (10) has no instance at the paper's initialisation
(erratum B5), so beside it stand three theorems with instances:

- `GradientDescent` (B-GD): the paper's argument with three radii and its constants put right. It needs a small
  read-out; `SmallReadout` is its closed form for a(0) = 0, condition (3.5).
- `GradientFlow` (B-GF): Newton-Kantorovich on the read-out block. Let T = 1/(1 − μ − R), μ = λ_max((W + Wᵀ)/2). While
  0 ≤ φ′ ≤ 1, ‖(I − DW)⁻¹D‖ ≤ T on the ball of radius R, so [Z; X] is bounded by Y = ‖[Z₀; X]‖(1 + TR), and Z is
  Lipschitz in θ with constant TY.
- `TwoRateDescent` (B-TR): step η for a, τη for (W, U). r⁺ = (I − ηZᵀZ)r + (Z⁺ − Z)ᵀa⁺, the second term at most
  τη (‖a‖TY)² ‖r‖. It asks only that the derivative exist in the sense of backpropagation; τ = 1 is plain descent.

The three are about the numbers of the network at hand: they use neither its law nor the norm of its inputs.
"""

from .descent import ConditionOnePrinted as ConditionOnePrinted
from .descent import GradientDescent as GradientDescent
from .descent import SmallReadout as SmallReadout
from .descent import Theorem1Printed as Theorem1Printed
from .initial import DepthGap as DepthGap
from .initial import HiddenNorm as HiddenNorm
from .initial import HiddenNormPrinted as HiddenNormPrinted
from .initial import InitialGram as InitialGram
from .initial import InitialGramMeasured as InitialGramMeasured
from .initial import InitialGramPrinted as InitialGramPrinted
from .readout import GradientFlow as GradientFlow
from .readout import TwoRateDescent as TwoRateDescent
from .start import Start as Start
