"""The corrections of Gao et al. that certificates name, and the witness of the printed gradient."""

import inspect

import numpy as np
import pytest

from globalmin.theory import ERRATA, AbstractCertificate, gao2022

from .problems import Network


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_test_network(seed):
    """The network of this file against central differences of its own loss."""
    net = Network.draw(seed, 3, 4, 12, 0.3)
    y, h = np.ones(3), 1e-6
    after = net.stepped(y, 1.0)
    draw = np.random.default_rng(seed)
    for name in ("a", "w", "u", "v"):
        here = {k: getattr(net, k) for k in ("a", "w", "u", "v")}
        direction = draw.normal(size=here[name].shape)
        losses = []
        for sign in (1, -1):
            other = Network(**(here | {name: here[name] + sign * h * direction}), x=net.x, gamma=net.gamma)
            losses.append(((other.f - y) ** 2).sum() / 2)
        step = getattr(net, name) - getattr(after, name)
        assert (step * direction).sum() == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-5, abs=1e-8)


CERTIFICATES = [
    cls
    for _, cls in inspect.getmembers(gao2022, inspect.isclass)
    if issubclass(cls, AbstractCertificate) and not inspect.isabstract(cls)
]


@pytest.mark.parametrize("cls", CERTIFICATES, ids=lambda c: c.__name__)
def test_certificates_name_existing_errata(cls):
    assert all(id in ERRATA for id in cls.errata_ids)
    assert cls.source
    assert cls.statement
    assert cls.method in ("any", "flow", "descent", "two-rate descent")


def test_every_correction_is_listed_and_used():
    ids = {f"gao2022-A{k}" for k in range(1, 11)}
    assert ids <= set(ERRATA)
    assert {id for cls in CERTIFICATES for id in cls.errata_ids} == ids


def test_a1_the_printed_factor_is_not_symmetric():
    """With A in place of its transpose the Gram matrix misses that of the true gradients; A2's witness besides."""
    net = Network.draw(0, 4, 5, 50, 0.4)
    gates = (net.g * net.z @ net.a.T + net.phi > 0).astype(float)
    wrong = np.stack([np.linalg.solve(np.eye(50) - net.g * k[:, None] * net.a, net.u) * k for k in gates])
    left, right = net.open * (wrong + net.v), net.open * (net.r + net.v)
    printed, true = left @ right.T / 50, right @ right.T / 50
    assert abs(printed - printed.T).max() > 1e-3
    assert abs(printed - true).max() > 1e-3 * abs(true).max()
    assert np.linalg.svd(np.array([[1, -0.9], [0, 1]]), compute_uv=False)[-1] == pytest.approx(0.647, abs=5e-4)
