import itertools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hatcnn.benchmark.arrays import plain_ranking, plain_reranking
from hatcnn.benchmark.traffic import count_traffic
from hatcnn.benchmark.workers import Form, run_in_turn
from hatcnn.errors import HatcnnError
from hatcnn.evaluation import Features, distance_blocks, rank, reranked_blocks
from tests.oracles.reranking import rerank


def crowd(count, seed):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, 8)).astype(np.float32)
    pids, camids = random.integers(1, 5, count), random.integers(1, 4, count)
    return Features(vectors, pids, camids, np.arange(count).astype(np.str_))


def sleeping(seconds, units):
    def work():
        import time

        time.sleep(seconds)
        return units

    return work


def hungry(megabytes):
    kept = np.ones(megabytes << 20, np.uint8)
    return lambda: len(kept)


def killed(after_start):
    """Die at once, or in the second portion: the first belongs to starting."""
    portions = itertools.count()

    def work():
        if next(portions) or not after_start:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1

    return work


def failing():
    raise ValueError("no such thing")


def test_rates_and_start_up_are_those_of_the_work():
    forms = [
        Form(name="slow", prepare=sleeping, arguments=(0.04, 2), plain=True),
        Form(name="quick", prepare=sleeping, arguments=(0.01, 2)),
    ]
    slow, quick = run_in_turn(forms, seconds=0.4, rounds=2)
    assert slow.rate == pytest.approx(2 / 0.04, rel=0.3)
    assert 2.5 < quick.rate / slow.rate < 5
    assert slow.latency(0.5) >= 40
    assert slow.start_seconds >= 0.04
    assert len(quick.seconds) > len(slow.seconds)


def test_peak_memory_is_each_forms_own():
    forms = [Form(name=str(m), prepare=hungry, arguments=(m,)) for m in (300, 20)]
    large, small = run_in_turn(forms, seconds=0.01, rounds=1)
    difference = (large.peak_bytes - small.peak_bytes) / 2**20
    assert difference == pytest.approx(280, abs=40)


def test_a_form_that_fails_says_why():
    with pytest.raises(HatcnnError, match="broken: no such thing"):
        run_in_turn([Form(name="broken", prepare=failing)], seconds=0.1, rounds=1)
    for started in (False, True):
        form = Form(name="killed", prepare=killed, arguments=(started,))
        with pytest.raises(HatcnnError, match="killed: the process died"):
            run_in_turn([form], seconds=0.1, rounds=2)


def test_traffic_of_a_product_and_a_convolution():
    a, b = torch.zeros(10, 20), torch.zeros(20, 30)
    product = count_traffic(lambda: a @ b)
    assert product.flops == 2 * 10 * 20 * 30
    assert product.bytes == 4 * (10 * 20 + 20 * 30 + 10 * 30)
    x = torch.zeros(1, 3, 8, 8)
    w = torch.zeros(5, 3, 3, 3, requires_grad=True)
    there = count_traffic(lambda: F.conv2d(x, w, padding=1))
    both = count_traffic(lambda: F.conv2d(x, w, padding=1).sum().backward())
    assert there.flops == 2 * 9 * 3 * 5 * 64
    # The picture needs no gradient, the weight does.
    assert both.flops == 2 * there.flops
    assert count_traffic(lambda: a.T[2:]).bytes == 0


def test_plain_forms_say_what_ours_and_the_oracles_say():
    query, gallery = crowd(12, 0), crowd(60, 1)
    ours = rank(distance_blocks(query.vectors, gallery.vectors), query, gallery)
    assert plain_ranking(query, gallery) == pytest.approx(ours.mAP)
    plain = plain_reranking(query.vectors, gallery.vectors)
    blocks = [d for _, d in reranked_blocks(query.vectors, gallery.vectors)]
    np.testing.assert_allclose(plain, np.concatenate(blocks), atol=1e-4)
    np.testing.assert_allclose(plain, rerank(query.vectors, gallery.vectors, 20, 6, 0.3), atol=1e-4)


def test_the_command_measures_in_turn_and_reports(tmp_path):
    command = [sys.executable, "-m", "hatcnn.cli.main", "bench", "evaluate", "latency"]
    options = ["--seconds", "0.2", "--rounds", "1", "--json", str(tmp_path / "bench.json")]
    subprocess.run([*command, *options], check=True, capture_output=True, text=True, timeout=300)
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["ceilings"]["copy"] > 0
    rows = {(row["job"], row["form"]): row for row in report["rows"]}
    assert {job for job, _ in rows} == {"evaluate", "latency"}
    for (job, form), row in rows.items():
        assert row["plain"] == form.startswith("plain")
        fastest_plain = max(
            r["per_second"] for (j, _), r in rows.items() if j == job and r["plain"]
        )
        assert row["ratio"] == pytest.approx(row["per_second"] / fastest_plain)
        assert row["peak_gb"] > 0
        assert (row["ceiling"] is None) == (job == "evaluate")


def test_what_is_measured_without_torch_is_without_it():
    code = "import sys, hatcnn.benchmark.serving; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
