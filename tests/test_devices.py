"""Arithmetic that the machine at hand can do."""

import pytest
import torch

from hatcnn.devices import describe_device, supported_precision


def has_bfloat16(monkeypatch, has):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_bfloat16_on_a_cpu_needs_its_instructions(monkeypatch, has, expected):
    has_bfloat16(monkeypatch, has)
    assert supported_precision("bf16-mixed", "cpu") == expected


def test_other_arithmetic_and_other_devices_stay(monkeypatch):
    has_bfloat16(monkeypatch, False)
    assert supported_precision("32-true", "cpu") == "32-true"
    assert supported_precision("bf16-mixed", "mps") == "bf16-mixed"


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_older_gpus_have_no_bfloat16_either(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has)
    assert supported_precision("bf16-mixed", "cuda") == expected
    assert supported_precision("16-mixed", "cuda") == "16-mixed"


def test_an_accelerator_is_asked_for_before_the_cpu(monkeypatch):
    has_bfloat16(monkeypatch, False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert supported_precision("bf16-mixed") == "bf16-mixed"
    assert supported_precision("16-mixed") == "16-mixed"
    # What a torch that was built for GPUs says on a machine without one.
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert supported_precision("bf16-mixed") == "32-true"


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_cpu_mixes_no_float16(monkeypatch, has, expected):
    has_bfloat16(monkeypatch, has)
    assert supported_precision("16-mixed", "cpu") == expected


def test_a_cpu_is_told_by_what_it_multiplies_with(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert describe_device(torch.device("cpu")) == "CPU (AMX)"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert describe_device(torch.device("cpu")) == "CPU (AVX2)"
