"""The calculation of the plan for several GPUs, against values worked out by hand."""
import pytest

from models.cost import multiply_adds, parameters
from models.shapes import FULL, SLIM
from tools.bench import scaling_plan as plan

MACHINE = plan.Machine(flops=1e12, bus=1e9, memory=2e9, network=1e9, latency=0.0)


def test_a_ring_of_four_sends_one_and_a_half_times_the_bytes():
    assert plan.ring_seconds(4e9, 4, 1e9, 0.0) == pytest.approx(6.0)
    assert plan.ring_seconds(4e9, 4, 1e9, 0.5) == pytest.approx(9.0)


def test_the_rate_of_a_ring_is_found_from_its_time():
    assert plan.rate_of(4e9, 4, plan.ring_seconds(4e9, 4, 1e9, 0.0)) == pytest.approx(1e9)
    assert plan.rate_of(4e9, 2, plan.ring_seconds(4e9, 2, 3e9, 0.0)) == pytest.approx(3e9)


def test_one_process_exchanges_nothing_and_scales_perfectly():
    timing = plan.step(SLIM, 8, (80, 144), 1, 1, 1, MACHINE)
    assert (timing.bus, timing.exchange) == (0, 0) and plan.efficiency(timing) == 1


def test_between_machines_the_narrowest_link_counts():
    inside = plan.step(SLIM, 8, (80, 144), 1, 4, 1, MACHINE).exchange
    assert plan.step(SLIM, 8, (80, 144), 1, 4, 2, MACHINE).exchange == pytest.approx(2 * inside)
    slow_memory = MACHINE._replace(memory=5e8)
    assert plan.step(SLIM, 8, (80, 144), 1, 4, 2, slow_memory).exchange == pytest.approx(4 * inside)


def test_so_many_images_reach_the_share_and_one_fewer_does_not():
    images = plan.images_for(0.9, FULL, 19, (256, 256), 8, 1, MACHINE._replace(flops=2e13))
    for count, enough in ((images, True), (images - 1, False)):
        timing = plan.step(FULL, 19, (256, 256), count, 8, 1, MACHINE._replace(flops=2e13))
        assert (plan.efficiency(timing) >= 0.9) == enough


def test_multiplications_of_a_net_small_enough_to_count_by_hand():
    shape = SLIM._replace(channels=(1, 1, 1, 1, 1), fc=1, margin=0)
    # 8 x 8: block 1 at 64 units, block 2 at 16, block 3 at 4, the rest at 1
    by_hand = 9 * (64 * (3 + 1) + 16 * 2 + 4 * 3 + 3 + 3) + 49 + 1 + 2
    assert multiply_adds(shape, 2, (8, 8)) == by_hand


def test_fc6_holds_three_quarters_of_the_gradients():
    assert 0.7 < 7 * 7 * 512 * 4096 / parameters(FULL, 19) < 0.8


def test_at_the_measured_speed_a_step_takes_the_measured_time_and_nothing_else_alone():
    flops = plan.measured_flops(FULL, 19)
    assert flops["TF32"] == pytest.approx(75e12, rel=0.01)
    for precision, seconds in (("TF32", 39.5e-3), ("float32", 93.4e-3)):
        timing = plan.step(FULL, 19, (256, 256), 2, 1, 1, MACHINE._replace(flops=flops[precision]))
        assert sum(timing) == timing.compute == pytest.approx(seconds)


def test_between_gpus_nothing_goes_through_the_host():
    timing = plan.step(SLIM, 8, (80, 144), 1, 4, 1, MACHINE._replace(bus=float("inf")))
    assert timing.bus == 0 and timing.exchange > 0
