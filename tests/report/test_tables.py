import io
import math

from rich.console import Console

from globalmin.report import certificate_text, from_json, print_certificate, print_claims, print_spectrum, to_json


def lines_with(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_text_says_everything(certificate):
    text = certificate_text(from_json(to_json(certificate)), width=160)
    assert lines_with(text, "digits", "n = 120", "d = 64")
    assert lines_with(text, "λ_min", "0.0231 ± 3.1×10⁻¹⁴", "positive beyond its error bound")
    assert lines_with(text, "λ₀ > 0", "0.0231", ">", "HOLDS")
    assert lines_with(
        text, "m ≥ c n⁶/(λ₀⁴δ³)", "1024", "≥", "5.4×10¹³", "−5.4×10¹³", "FAILS", "short by a factor of 5.3×10¹⁰"
    )
    assert lines_with(text, "m ≥ c′", "not given", "UNDECIDED", "the source leaves c′ open")
    assert "the theorem is silent here" in text
    assert lines_with(text, "Theorem 2.3 [corrected]")  # brackets are text, not markup
    assert "[derived] constant" in text
    assert lines_with(text, "h (certifies below 1/2)", "13.2")
    assert "to make it hold: train until the residual is 0.43 (now 11.3)" in text
    assert lines_with(text, "no neuron moves beyond R", "step of the proof", "≤ 0.4", "first broken at epoch 7", "0.36")
    assert "held throughout" in text
    assert "first holds at epoch 120" in text
    assert lines_with(text, "test-1", "Lemma 3")
    assert lines_with(text, "printed: ‖e‖ ≤ 1 & <x>")
    assert lines_with(text, "used:    ‖e‖² ≤ 1")
    assert "\x1b" not in text


def test_text_fits_its_width(certificate):
    assert max(len(line) for line in certificate_text(certificate, width=90).splitlines()) <= 90


def test_colours_follow_the_verdicts(certificate):
    file = io.StringIO()
    print_certificate(certificate, Console(file=file, width=160, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31mFAILS" in file.getvalue()
    assert "\x1b[1;32mHOLDS" in file.getvalue()
    assert "\x1b[1;33mUNDECIDED" in file.getvalue()


def test_a_certificate_before_training(certificate):
    # No verification yet, and a flow certificate beside that of descent.
    del certificate["verification"]
    certificate["kantorovich_flow"] = {**certificate["kantorovich"], "verdict": "HOLDS", "flow": True, "rate": 0.5}
    text = certificate_text(certificate)
    assert lines_with(text, "HOLDS", "Kantorovich certificate, gradient flow")
    assert lines_with(text, "factor of the residual per unit of time", "0.5")
    assert "throughout" not in text


def test_infinite_and_missing_numbers(certificate):
    hypothesis = {"name": "c > 0", "lhs": -math.inf, "relation": ">", "rhs": 0.0, "slack": -math.inf, "error": 0.0}
    certificate["theorems"][0]["hypotheses"] = [{**hypothesis, "verdict": "FAILS", "note": ""}]
    assert lines_with(certificate_text(certificate), "c > 0", "−∞", "FAILS")


def test_spectra_and_claims():
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_spectrum({"ntk": {"lambda_min": 0.5, "lambda_max": 2.0, "error": 1e-14}}, "four rows", console)
    claims = [
        {"text": "falls", "measured": "slope −0.5", "asked": "< 0", "passed": True},
        {"text": "[rises]", "measured": "no", "asked": "yes", "passed": False},
    ]
    print_claims({"figure": "fig", "source": "paper", "scale": "small", "claims": claims}, console)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert lines_with(text, "ntk", "0.5 ± 10⁻¹⁴", "2")
    assert lines_with(text, "falls", "PASS")
    assert lines_with(text, "[rises]", "FAIL")


def test_a_certificate_that_holds_for_flow_alone_is_said():
    from globalmin.report.tables import certified_sentence

    assert "held at no monitored epoch" in certified_sentence({"certified_epoch": None, "flow_certified_epoch": None})
    said = certified_sentence({"certified_epoch": None, "flow_certified_epoch": 4})
    assert "first holds at epoch 4 for gradient flow; for descent it held at no" in said
    assert certified_sentence({"certified_epoch": 7, "flow_certified_epoch": 4}).endswith("first holds at epoch 7")
