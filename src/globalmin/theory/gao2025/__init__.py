r"""Neural ODEs: the theorems of Gao, Sun, Liu, Gao (ICLR 2025) as their slides state them, printed and repaired.

f = (σ_v/√m) v·φ(h_T), dh/dt = (σ_w/√m) W φ(h), h_0 = (σ_u/√d) U x, all entries N(0, 1), ‖x_i‖ = 1; all three train on
L = ½‖r‖², r = f − y. The source writes n for the width; here it is m. K_θ is the tangent kernel, K^v = (σ_v²/m) ΦΦᵀ the
share of the read-out, K^∞ the limit of K_θ.

**From norms.** `Growth` and `Sensitivity` are Lemmas 17 and 18, `GradientGap` Proposition 2 and Lemma 2 with C computed.

**From the kernel.** `PositiveLimit` is Corollary 1, `InitialGramMeasured` the step from K^∞ to K_θ(0).

**Convergence.** Lemma 16 and Theorem 3 leave C open, and η ≤ 1/‖X‖² is too large (erratum C11). `GradientDescent` and
`GlobalConvergence` are their conclusions by Newton-Kantorovich for the residual network that is trained, with Λ from
the norms; `BlockFlow` is gradient flow, for which φ need not be smooth. What holds for Euler's method and what holds for
the ODE are the same bounds, as (1 + ωΔ)^k ≤ e^{ωkΔ}.
"""

from .bounds import GradientGap as GradientGap
from .bounds import Growth as Growth
from .bounds import GrowthPrinted as GrowthPrinted
from .bounds import InitialGramMeasured as InitialGramMeasured
from .bounds import InitialGramPrinted as InitialGramPrinted
from .bounds import PositiveLimit as PositiveLimit
from .bounds import PositiveLimitPrinted as PositiveLimitPrinted
from .bounds import Sensitivity as Sensitivity
from .descent import BlockFlow as BlockFlow
from .descent import GlobalConvergence as GlobalConvergence
from .descent import GradientDescent as GradientDescent
from .descent import Lemma16Printed as Lemma16Printed
from .descent import Theorem3Printed as Theorem3Printed
from .start import Start as Start
