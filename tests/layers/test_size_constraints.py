"""The constrained distribution (Eq. 8): exact answers, another solver, hostile problems."""
import glob
import os
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from data.files import ROOT  # noqa: E402
from layers import box_newton
from layers.box_newton import kkt_residual, newton_point
from layers.size_constraints import attainable_bounds, solve
from layers.size_dual import SizeDual
from tools.bench.constraint_problems import STREET_KINDS, street_problem

from hostile_problems import hostile_problem

REFERENCE = os.path.join(ROOT, "..", "shared", "reference", "constrained_mil")
REFERENCE_PROBLEMS = ("extreme", "lower_bounds_over_one", "noise", "noise_large", "saturated",
                      "shift", "smooth", "upper_bounds_tight", "upper_bounds_under_one")


def primal_value(probabilities, scores, lower, slack):
    """V of a distribution, from its definition and not from the dual."""
    log_model = (scores - logsumexp(scores.astype(float), axis=0)).reshape(len(scores), -1)
    shares = probabilities.reshape(len(scores), -1)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    divergence = (shares * np.where(shares > 0, logs - log_model, 0.0)).sum(axis=0).mean()
    return divergence + slack * np.maximum(lower - shares.mean(axis=1), 0.0).sum()


def small_problem(seed, classes=4, height=3, width=4):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=3.0, size=(classes, height, width))
    present = rng.random(classes) < 0.8
    present[:2] = True
    upper = np.minimum(rng.dirichlet(np.ones(classes)) * rng.uniform(1.0, 3.0), 1.0)
    upper[present] /= min(upper[present].sum(), 1.0)
    return scores, present, upper * rng.random(classes), upper, rng.choice([0.3, 2.0])


@pytest.mark.parametrize("name", REFERENCE_PROBLEMS)
def test_reference_problem(name):
    path = os.path.join(REFERENCE, name + ".npz")
    if not os.path.exists(path):
        pytest.skip("the reference problems are not beside the repository")
    with np.load(path, allow_pickle=False) as file:
        problem = {key: file[key] for key in file.files}
    solution = solve(problem["scores"], problem["present"], problem["lower"], problem["upper"],
                     float(problem["slack"]))
    assert abs(solution.value - problem["value"]) <= 1e-7
    assert np.abs(solution.mass - problem["mass"]).max() <= 1e-7
    assert solution.kkt <= 1e-8
    assert solution.relaxed == (name == "upper_bounds_under_one")
    if not solution.relaxed:  # there the multipliers are unique only up to a common shift
        assert np.abs(solution.mu - problem["mu"]).max() <= 1e-4


def test_every_reference_file_is_tested():
    if not os.path.isdir(REFERENCE):
        pytest.skip("the reference problems are not beside the repository")
    found = {
        os.path.basename(path)[:-len(".npz")]
        for path in glob.glob(os.path.join(REFERENCE, "*.npz"))
    }
    assert found == set(REFERENCE_PROBLEMS)


def test_two_classes_by_hand():
    # Equal scores, so the model says 1/2 everywhere; upper bound 1/4 on the first class: P = (1/4,
    # 3/4).
    solution = solve(np.zeros((2, 3, 5)), np.array([True, True]), [0.0, 0.0], [0.25, 1.0], 2.0)
    assert solution.mass == pytest.approx([0.25, 0.75], abs=1e-9)
    assert solution.value == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5), abs=1e-12)
    assert solution.mu[0] - solution.mu[1] == pytest.approx(np.log(0.25 / 0.75), abs=1e-7)
    # Lower bound 3/4 at price log 2: mu stops at the price, so P = (2/3, 1/3) and 1/12 is missing.
    solution = solve(np.zeros((2, 3, 5)), np.array([True, True]), [0.75, 0.0], [1.0, 1.0],
                     np.log(2))
    assert solution.mass == pytest.approx([2 / 3, 1 / 3], abs=1e-9)
    assert solution.mu == pytest.approx([np.log(2), 0.0], abs=1e-9)
    divergence = 2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3)
    assert solution.value == pytest.approx(divergence + np.log(2) / 12, abs=1e-12)


def test_met_bounds_change_nothing():
    scores = np.random.default_rng(0).normal(size=(3, 4, 4))
    solution = solve(scores, np.ones(3, bool), np.zeros(3), np.ones(3), 2.0)
    assert np.allclose(solution.probabilities, softmax(scores, axis=0), atol=1e-14)
    assert solution.value == pytest.approx(0.0, abs=1e-14) and not solution.mu.any()


@pytest.mark.parametrize("seed", range(6))
def test_same_optimum_as_scipy_on_the_primal(seed):
    """SLSQP on V itself: every pixel's distribution and the missing mass are variables."""
    scores, present, lower, upper, slack = small_problem(seed)
    solution = solve(scores, present, lower, upper, slack)
    kept = np.flatnonzero(present)
    classes, pixels = len(kept), scores[0].size
    log_model = (scores - logsumexp(scores, axis=0))[kept].reshape(classes, pixels)
    cut = classes * pixels

    def value(x):
        shares = x[:cut].reshape(classes, pixels)
        return (shares * (np.log(shares) - log_model)).sum() / pixels + slack * x[cut:].sum()

    def slope(x):
        shares = x[:cut].reshape(classes, pixels)
        return np.concatenate([((np.log(shares) + 1 - log_model) / pixels).ravel(),
                               np.full(classes, slack)])

    def mass(x):
        return x[:cut].reshape(classes, pixels).mean(axis=1)

    conditions = [{"type": "eq", "fun": lambda x: x[:cut].reshape(classes, pixels).sum(axis=0) - 1},
                  {"type": "ineq", "fun": lambda x: upper[kept] - mass(x)}, {
                      "type": "ineq",
                      "fun": lambda x: mass(x) + x[cut:] - np.minimum(lower, upper)[kept]
                  }]
    # From two starting points: SLSQP clips its steps at the bounds and can stay there.
    found = min(
        (minimize(value, np.concatenate([shares.ravel(), np.full(classes, 0.1)]), jac=slope,
                  method="SLSQP", constraints=conditions, bounds=[(1e-9, 1)] * cut +
                  [(0, 1)] * classes, options={"ftol": 1e-14, "maxiter": 3000})
         for shares in (np.full((classes, pixels), 1 / classes), softmax(log_model, axis=0))),
        key=lambda result: result.fun if result.success else np.inf)
    assert found.success, found.message
    assert solution.value == pytest.approx(found.fun, abs=1e-6)
    assert np.abs(solution.mass[kept] - mass(found.x)).max() <= 1e-4


@pytest.mark.parametrize("kind", STREET_KINDS)
def test_value_of_the_answer_is_that_of_the_dual(kind):
    scores, present, lower, upper, slack = street_problem(kind, 20, 30, seed=7)
    solution = solve(scores, present, lower, upper, slack)
    reached, allowed, _ = attainable_bounds(lower[present], upper[present])
    price = np.zeros(len(present))
    price[present] = reached
    assert solution.kkt <= 1e-8
    assert solution.value == pytest.approx(
        primal_value(solution.probabilities, scores, price, slack), abs=1e-7)
    assert (solution.mass[present] <= allowed + 1e-8).all()
    assert solution.relaxed == (kind == "upper_under_one")


def test_three_hundred_hostile_problems():
    for seed in range(300):
        scores, present, lower, upper, slack = hostile_problem(seed)
        with np.errstate(invalid="raise", over="raise", divide="raise"):
            solution = solve(scores, present, lower, upper, slack)
        for name in ("probabilities", "value", "mass", "mu", "kkt"):
            assert np.isfinite(getattr(solution, name)).all(), (seed, name)
        assert solution.kkt <= 1e-6, seed
        assert np.abs(solution.probabilities.sum(axis=0) - 1).max() <= 1e-9, seed
        assert np.abs(solution.probabilities.mean(axis=(1, 2)) - solution.mass).max() <= 1e-12, seed
        assert solution.mu.max() <= slack, seed
        if present.any():
            reached, allowed, relaxed = attainable_bounds(lower[present], upper[present])
            assert relaxed == solution.relaxed, seed
            assert not solution.mass[~present].any(), seed
            assert (solution.mass[present] <= allowed + 1e-6).all(), seed
            missing = (solution.mass[present] < reached - 1e-6)
            assert (np.abs(solution.mu[present][missing] - slack) <= 1e-9 * (1 + slack)).all(), seed


def test_far_answers_take_few_iterations():
    """The trust radius grows; a fixed one would crawl."""
    saturated = [solve(*street_problem("saturated", 30, 40, seed)) for seed in range(10)]
    assert max(solution.iterations for solution in saturated) <= 15
    dear = solve(np.zeros((2, 4, 4)), np.ones(2, bool), [0.8, 0.9], [1.0, 1.0], 1000.0)
    assert dear.mu.tolist() == [1000, 1000] and dear.iterations <= 15
    assert dear.value == pytest.approx(1000 * (0.3 + 0.4))


def test_no_class_present_asks_for_nothing():
    scores = np.random.default_rng(1).normal(size=(3, 2, 2))
    solution = solve(scores, np.zeros(3, bool), np.full(3, 0.5), np.full(3, 0.6), 2.0)
    assert np.allclose(solution.probabilities, softmax(scores, axis=0))
    assert solution.value == 0 and solution.kkt == 0 and not solution.relaxed


def test_one_class_present_takes_every_pixel():
    scores = np.random.default_rng(2).normal(size=(3, 2, 2))
    solution = solve(scores, np.array([False, True, False]), np.full(3, 0.1), np.full(3, 0.4), 2.0)
    assert (solution.probabilities[1] == 1).all() and solution.relaxed
    assert solution.value == pytest.approx((logsumexp(scores, axis=0) - scores[1]).mean())


def test_present_class_with_upper_bound_zero_gets_nothing():
    solution = solve(np.zeros((3, 2, 2)), np.ones(3, bool), [0.2, 0, 0], [0.0, 1.0, 1.0], 2.0)
    assert solution.mass == pytest.approx([0, 0.5, 0.5])


def test_bounds_that_cannot_be_met_are_scaled():
    lower, upper, relaxed = attainable_bounds(np.array([0.1, 0.5]), np.array([0.2, 0.3]))
    assert upper == pytest.approx([0.4, 0.6]) and lower == pytest.approx([0.1, 0.5]) and relaxed
    lower, upper, relaxed = attainable_bounds(np.array([0.9, 0.9]), np.array([0.7, 0.8]))
    assert upper == pytest.approx([0.7, 0.8]) and lower == pytest.approx([0.7, 0.8]) and not relaxed


@pytest.mark.parametrize("change, word", [
    (dict(scores=np.zeros((2, 3))), "scores"),
    (dict(scores=np.zeros((2, 2, 2), int)), "scores"),
    (dict(scores=np.full((2, 2, 2), np.nan)), "finite"),
    (dict(present=np.ones(3, bool)), "present"),
    (dict(present=np.ones(2, int)), "present"),
    (dict(lower=[0.1]), "lower"),
    (dict(upper=[0.5, 1.5]), "upper"),
    (dict(lower=[np.nan, 0.5]), "lower"),
    (dict(upper=[0.0, 0.0]), "upper bound 0"),
    (dict(slack=-1.0), "slack"),
    (dict(slack=np.inf), "slack"),
])
def test_arguments_out_of_range_are_named(change, word):
    problem = dict(scores=np.zeros((2, 2, 2)), present=np.ones(2, bool), lower=[0.1, 0.1],
                   upper=[0.5, 0.9], slack=2.0)
    with pytest.raises(ValueError, match=word):
        solve(**{**problem, **change})


def test_hessian_is_the_derivative_of_the_mass():
    dual = SizeDual(np.random.default_rng(3).normal(scale=2.0, size=(5, 700)))
    mu = np.array([0.3, -1.0, 0.0, 2.0, -0.2])
    dual.evaluate(mu)
    hessian = dual.hessian()
    for i in range(5):
        step = np.eye(5)[i] * 1e-5
        slope = (dual.evaluate(mu + step)[1] - dual.evaluate(mu - step)[1]) / 2e-5
        assert np.abs(hessian[i] - slope).max() <= 1e-9
    assert np.abs(hessian.sum(axis=0)).max() <= 1e-16


def test_far_multipliers_rebuild_the_table_and_keep_the_value():
    scores = np.random.default_rng(4).normal(scale=100.0, size=(4, 50))
    dual = SizeDual(scores)
    for mu in (np.array([0.0, 400.0, -300.0, 1.0]), np.array([-900.0, 0.0, 0.0, 0.0]), np.zeros(4)):
        value, mass = dual.evaluate(mu)
        moved = scores + mu[:, None]
        assert value == pytest.approx((logsumexp(moved, axis=0) - scores.max(axis=0)).mean(),
                                      abs=1e-10)
        assert mass == pytest.approx(softmax(moved, axis=0).mean(axis=1), abs=1e-12)


def test_active_set_and_coordinate_descent_agree(monkeypatch):
    rng = np.random.default_rng(5)
    problems = []
    for _ in range(30):
        shares = softmax(rng.normal(scale=2.0, size=(5, 40)), axis=0)
        hessian = np.diag(shares.mean(axis=1)) - shares @ shares.T / 40
        upper = rng.random(5) * 0.5
        mu = np.minimum(rng.normal(size=5) * rng.integers(0, 2, 5), 1.0)
        problems.append((hessian, shares.mean(axis=1), mu, upper * rng.random(5), upper, 1.0, 2.0))
    # the active set has to settle by itself
    monkeypatch.setattr(box_newton, "_coordinate_descent", None)
    exact = [newton_point(*problem) for problem in problems]
    monkeypatch.undo()
    monkeypatch.setattr(box_newton, "_active_set", lambda *arguments: None)
    monkeypatch.setattr(box_newton, "DESCENT_SWEEPS", 20000)

    def model(problem, point):
        step = point - problem[2]
        return (problem[1] @ step + step @ problem[0] @ step / 2
                - np.where(point >= 0, problem[3], problem[4]) @ point)

    for problem, x in zip(problems, exact):
        found = model(problem, newton_point(*problem))
        assert found == pytest.approx(model(problem, x), abs=1e-7)
        assert (x <= 1.0).all() and (np.abs(x - problem[2]) <= 2.0 + 1e-12).all()


def test_kkt_residual_case_by_case():
    lower, upper, cap = np.array([0.2]), np.array([0.5]), 2.0

    def residual(mu, mass):
        return kkt_residual(np.array([mu]), np.array([mass]), lower, upper, cap)[0]

    assert residual(-1.0, 0.6) == pytest.approx(0.1) and residual(-1.0, 0.4) == pytest.approx(0.1)
    assert residual(1.0, 0.3) == pytest.approx(0.1) and residual(1.0, 0.1) == pytest.approx(0.1)
    assert residual(0.0, 0.3) == 0 and residual(0.0, 0.6) == pytest.approx(0.1) and residual(
        0.0, 0.1) == pytest.approx(0.1)
    assert residual(2.0, 0.1) == 0 and residual(2.0, 0.3) == pytest.approx(0.1)


def test_memory_does_not_grow_with_the_iterations():
    """A saturated problem takes many more iterations than a smooth one, and no more memory."""
    def peak(scale):
        rng = np.random.default_rng(6)
        scores = scale * rng.normal(size=(12, 40, 50))
        upper = np.full(12, 1 / 12)
        tracemalloc.start()
        solution = solve(scores, np.ones(12, bool), 0.5 * upper, upper, 2.0)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used, solution.iterations
    easy, few = peak(1.0)
    hard, many = peak(300.0)
    assert many >= 4 * few
    assert hard <= 1.05 * easy
