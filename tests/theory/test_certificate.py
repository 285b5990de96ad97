import math

import pytest

from globalmin._core import Estimate
from globalmin.theory import AbstractCertificate, Hypothesis, Promise, Verdict
from globalmin.theory.certificate import worst
from globalmin.theory.estimated import AbstractEstimated, Start, is_relu, over, stated

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("lhs", "rhs", "strict", "error", "verdict"),
    [
        (2.0, 1.0, False, 0.0, HOLDS),
        (1.0, 2.0, False, 0.0, FAILS),
        (1.0, 1.0, False, 0.0, HOLDS),
        (1.0, 1.0, True, 0.0, FAILS),
        (2.0, 1.0, False, 1.5, UNDECIDED),
        (1.0, 2.0, False, 1.5, UNDECIDED),
        (2.0, 1.0, False, 1.0, HOLDS),  # the slack can fall to 0, which ≥ admits
        (2.0, 1.0, True, 1.0, UNDECIDED),
        (1.0, 2.0, True, 1.0, FAILS),  # the slack can rise to 0, which > does not admit
        (1.0, 2.0, False, 1.0, UNDECIDED),
        (None, 1.0, False, 0.0, UNDECIDED),
        (1.0, None, False, 0.0, UNDECIDED),
        (NAN, 1.0, False, 0.0, UNDECIDED),
        (1.0, NAN, False, 0.0, UNDECIDED),
        (1.0, 0.0, False, NAN, UNDECIDED),
        (INF, 1.0, False, 0.0, HOLDS),
        (1.0, INF, False, 0.0, FAILS),
        (INF, 1.0, False, INF, UNDECIDED),
        (1.0, INF, True, INF, UNDECIDED),
    ],
)
def test_the_verdict_of_an_inequality(lhs, rhs, strict, error, verdict):
    assert Hypothesis.at_least("≥", lhs, rhs, strict=strict, error=error).verdict is verdict
    # Turned round it is the same inequality.
    assert Hypothesis.at_most("≤", rhs, lhs, strict=strict, error=error).verdict is verdict


def test_slack_is_positive_inside():
    assert Hypothesis.at_least("", 3.0, 1.0).slack == 2
    assert Hypothesis.at_most("", 3.0, 1.0).slack == -2
    assert Hypothesis.at_most("", 3.0, None).slack is None


def test_the_worst_verdict_decides():
    assert worst([HOLDS, UNDECIDED, FAILS]) is FAILS
    assert worst([HOLDS, UNDECIDED]) is UNDECIDED
    assert worst([HOLDS]) is HOLDS
    assert worst([]) is HOLDS


def test_failing_is_told_as_silence():
    assert "silent" in FAILS.meaning
    assert "does not say that training fails" in FAILS.meaning


def test_a_promise_is_kept_up_to_rounding_and_never_by_nan():
    promise = Promise("loss", "loss", "<=", 8.0, 0.5, start=2)
    assert promise.at(2) == 8
    assert promise.at(5) == 1
    assert promise.kept(5, 1.0)
    assert promise.kept(5, 1.0 + 1e-12)
    assert not promise.kept(5, 1.01)
    assert not promise.kept(5, NAN)
    floor = Promise("λ", "lambda_min", ">=", 1.0)
    assert floor.kept(100, 1.0)
    assert not floor.kept(100, 0.9)
    assert not floor.kept(100, NAN)


class Numbers(Start):
    larger_is_better = ("good",)
    good: Estimate
    bad: Estimate


class Quotient(AbstractEstimated):
    """good/bad ≥ 2."""

    source = "a test"
    statement = "good/bad ≥ 2"
    numbers: Numbers

    def inequalities(self):
        ratio = over(self.numbers.good.value, self.numbers.bad.value)
        return (Hypothesis.at_least("good/bad ≥ 2", ratio, 2.0),)


@pytest.mark.parametrize(
    ("good", "bad", "verdict"),
    [
        (Estimate(5.0, 0.5), Estimate(2.0, 0.2), HOLDS),  # 4.5/2.2 > 2
        (Estimate(5.0, 0.5), Estimate(2.0, 0.3), UNDECIDED),  # 4.5/2.3 < 2
        (Estimate(3.0, 0.5), Estimate(2.0, 0.3), UNDECIDED),  # 3.5/1.7 > 2
        (Estimate(3.0, 0.2), Estimate(2.0, 0.3), FAILS),  # 3.2/1.7 < 2
        (Estimate(1.0, 2.0), Estimate(1.0, 0.0), UNDECIDED),
        (Estimate(1.0), Estimate(0.0), HOLDS),
        (Estimate(NAN), Estimate(1.0), UNDECIDED),
    ],
)
def test_estimates_are_taken_at_both_ends(good, bad, verdict):
    certificate = Quotient(Numbers(good, bad))
    assert certificate.verdict is verdict
    assert certificate.evaluate().verdict is verdict


def test_infinite_requirements_fail_where_both_ends_agree():
    class Needs(AbstractEstimated):
        source = statement = "a test"
        larger_is_better = ("lam",)
        lam: Estimate

        def inequalities(self):
            return (Hypothesis.at_least("m ≥ 1/λ", 10.0, over(1.0, self.lam.value)),)

    assert Needs(Estimate(0.0)).verdict is FAILS
    assert Needs(Estimate(0.0, 0.01)).verdict is FAILS  # 1/0.01 > 10 at the best end too
    assert Needs(Estimate(0.0, 1.0)).verdict is UNDECIDED
    assert Needs(Estimate(1.0, 0.5)).verdict is HOLDS


def test_small_helpers():
    assert over(1.0, 0.0) == over(1.0, -1.0) == over(1e308, 1e-308) == INF
    assert over(1.0, 4.0) == 0.25
    assert stated("yes", True, "unused").verdict is HOLDS
    assert stated("yes", True, "unused").note == ""
    assert is_relu("relu").verdict is HOLDS
    assert is_relu("tanh").verdict is FAILS
    assert "tanh" in is_relu("tanh").note


def test_evaluation_gives_plain_values():
    told = Quotient(Numbers(Estimate(5.0, 0.5), Estimate(2.0))).evaluate().to_dict()
    assert told["theorem"] == "Quotient"
    assert told["verdict"] == "HOLDS"
    (row,) = told["hypotheses"]
    assert row["lhs"] == 2.5
    assert row["slack"] == 0.5
    assert row["error"] == pytest.approx(0.25)  # 2.5 − 4.5/2
    assert told["errata"] == []


def test_an_unknown_erratum_in_a_certificate_is_an_error():
    class Wrong(AbstractCertificate):
        source = statement = "a test"
        errata_ids = ("nobody-1",)

        def hypotheses(self):
            return ()

    with pytest.raises(ValueError, match="nobody-1"):
        Wrong().errata()
