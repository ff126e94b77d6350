"""The share of a device's arithmetic that a training uses."""

import pytest

from concord.training.utilisation import mfu, peak, token_flop


@pytest.mark.parametrize(
    ("device", "teraflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", 181),
        ("NVIDIA A10G", None),
        ("Tesla T4", None),
        ("", None),
    ],
)
def test_a_devices_peak_is_known_by_its_name_and_no_other_is_taken_for_it(device, teraflops):
    assert peak(device) == (teraflops and teraflops * 1e12)


def test_a_token_costs_six_flop_a_weight_that_is_trained_and_four_a_frozen_one():
    assert token_flop(100, 100) == 600
    assert token_flop(100, 0) == 400 and token_flop(100, 5) == 410


def test_the_share_is_of_all_devices_together():
    assert mfu(10_000, token_flop(8_000_000_000, 8_000_000_000), 960e12, 1) == pytest.approx(0.5)
    assert mfu(10_000, token_flop(8_000_000_000, 8_000_000_000), 960e12, 4) == pytest.approx(0.125)
