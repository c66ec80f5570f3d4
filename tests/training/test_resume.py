import json
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch
from lightning_fabric.plugins.precision.amp import MixedPrecision

from hatcnn.datasets.manifest import write_dataset
from hatcnn.errors import CheckpointError, ConfigError, TrainingError
from hatcnn.models.checkpoint import load_model
from hatcnn.models.folder import of_identities
from hatcnn.training.schedule import learning_rate
from tests.training.runs import TINY, crowd, hatcnn, metrics, trainer


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    run = trainer(out)
    assert run.fit()
    return out, run


def test_a_run_leaves_what_it_promises(uninterrupted):
    out, run = uninterrupted
    lines = metrics(out)
    assert [line["epoch"] for line in lines] == [1, 1, 2, 2, 3, 3]
    assert sum("evaluation" in line for line in lines) == 3
    assert lines[0]["loss/total"] > lines[4]["loss/total"]
    environment = json.loads((out / "environment.json").read_text())
    assert {"torch", "device", "seed", "commit"} <= set(environment)
    assert list((out / "tensorboard").iterdir())
    network, config = load_model(out / "model")
    for name, tensor in network.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(tensor, run.average.network.state_dict()[name]), name
    assert config == replace(run.recipe.model, num_identities=0)
    score = lines[-1]["evaluation"]["rankings"]["identity"]["mAP"]
    assert f"mAP {score:.1f}" in (out / "model" / "README.md").read_text()


def test_resuming_a_finished_run_changes_nothing(uninterrupted, tmp_path):
    out = shutil.copytree(uninterrupted[0], tmp_path / "finished")
    again = trainer(out)
    again.resume()
    assert again.fit()
    for name in ("metrics.jsonl", "model/README.md", "model/model.safetensors"):
        assert (out / name).read_bytes() == (uninterrupted[0] / name).read_bytes()


def test_two_runs_are_equal(uninterrupted, tmp_path):
    trainer(tmp_path / "again").fit()
    assert metrics(tmp_path / "again") == metrics(uninterrupted[0])


@pytest.mark.parametrize("steps", [1, 7, 12])
def test_a_stopped_run_goes_on_to_the_same_numbers(uninterrupted, tmp_path, steps, monkeypatch):
    out = tmp_path / "stopped"
    first = trainer(out)
    asked = first._agreed

    def stop_after(stop):
        return asked(stop) or first.at.step == steps

    monkeypatch.setattr(first, "_agreed", stop_after)
    assert not first.fit()
    assert first.at.step == steps
    second = trainer(out)
    second.resume()
    assert second.fit()
    assert metrics(out) == metrics(uninterrupted[0])
    for one, other in zip(
        second.network.parameters(), uninterrupted[1].network.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_schedule_can_get_another_length_and_the_folder_says_so(tmp_path, monkeypatch):
    out = tmp_path / "shortened"
    first = trainer(out)
    steps = first.steps_per_epoch + 1
    asked = first._agreed
    monkeypatch.setattr(first, "_agreed", lambda stop: asked(stop) or first.at.step == steps)
    assert not first.fit()
    second = trainer(out, replace(TINY, epochs=2))
    second.resume()
    assert second.fit()
    stored = json.loads((out / "recipe.json").read_text())
    assert stored["recipe"]["epochs"] == 2
    assert stored["earlier_schedules"] == [{"epochs": 3, "until_step": steps}]
    rates = [line["lr"] for line in metrics(out) if "lr" in line]
    assert len(rates) == 2
    expected = learning_rate(
        TINY.optimiser, 2 * first.steps_per_epoch - 1, 2 * first.steps_per_epoch
    )
    assert rates[1] == pytest.approx(expected)
    with pytest.raises(ConfigError, match="a schedule of 1 epochs is over"):
        trainer(out, replace(TINY, epochs=1)).resume()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(crowd(), tmp_path_factory.mktemp("data") / "crowd").parent


FLAGS = (
    "--accelerator", "cpu",
    "--model.channels", "16", "32", "32", "--model.stem-channels", "8", "--model.feature-dim", "16",
    "--model.height", "48", "--model.width", "32", "--sampling.batch-size", "16",
    "--epochs", "3", "--evaluate-every", "1",
)  # fmt: skip


def lines_in(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_epochs(process, run, epochs):
    deadline = time.monotonic() + 120
    while lines_in(run / "metrics.jsonl") < epochs or not (run / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run never got going"
        time.sleep(0.02)


def test_killed_in_an_epoch_and_resumed(data, tmp_path):
    """Kill -9, twice at different moments, then --resume: the same metrics to the last digit."""
    command = ("train", "smoke", "--data", data, *FLAGS)
    whole = hatcnn(*command, "--out", tmp_path / "whole")
    assert whole.wait(timeout=300) == 0, whole.communicate()[0]
    killed = tmp_path / "killed"
    for epochs, extra in ((1, 0.0), (3, 0.15)):
        process = hatcnn(*command, "--out", killed, "--resume")
        wait_for_epochs(process, killed, epochs)
        time.sleep(extra)
        process.kill()
        process.wait()
    last = hatcnn(*command, "--out", killed, "--resume")
    assert last.wait(timeout=300) == 0, last.communicate()[0]
    assert metrics(killed) == metrics(tmp_path / "whole")


def test_a_signal_ends_the_step_and_saves(data, tmp_path):
    run = tmp_path / "run"
    command = ("train", "smoke", "--data", data, *FLAGS, "--epochs", "4000", "--evaluate-every",
               "0", "--out", run)  # fmt: skip
    process = hatcnn(*command)
    wait_for_epochs(process, run, 1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "--resume goes on" in output
    state = torch.load(run / "last.ckpt", weights_only=True)
    assert 0 < state["progress"]["step"] < 4000


def test_time_is_up(tmp_path):
    run = trainer(tmp_path / "run", replace(TINY, epochs=4000, evaluate_every=0))
    start = time.monotonic()
    assert not run.fit(max_minutes=0.02)
    assert time.monotonic() - start < 30
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(tmp_path):
    run = trainer(tmp_path / "run")
    steps = run.steps_per_epoch
    forward = run._forward

    def poisoned(indices, rows):
        terms = forward(indices, rows)
        if run.at.step == steps + 2:
            terms["total"] = terms["total"] * float("nan")
        return terms

    run._forward = poisoned
    with pytest.raises(
        TrainingError, match=rf"not finite at step {steps + 2} \(epoch 1\)"
    ) as error:
        run.fit()
    assert "last.ckpt" in str(error.value)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["progress"]["epoch"] == 1
    assert all(v.isfinite().all() for v in state["network"].values())


def test_what_a_run_left_before_its_first_checkpoint_is_forgotten(tmp_path):
    first = trainer(tmp_path / "run", replace(TINY, checkpoint_every=3))
    first.run.record({"epoch": 1, "seconds": 1.0})
    again = trainer(tmp_path / "run", replace(TINY, epochs=1, evaluate_every=0))
    assert again.fit()
    assert [line["epoch"] for line in metrics(tmp_path / "run") if "lr" in line] == [1]


def test_a_resumed_run_needs_no_longer_what_it_started_from(uninterrupted, tmp_path):
    start = shutil.copytree(uninterrupted[0] / "model", tmp_path / "start")
    recipe = replace(TINY, start_from=str(start))
    first = trainer(tmp_path / "run", recipe)
    first._save()
    shutil.rmtree(start)
    second = trainer(tmp_path / "run", recipe)
    second.resume()
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_scale_of_float16_gradients_is_resumed(tmp_path, monkeypatch):
    first, second = (trainer(tmp_path / "run") for _ in range(2))
    for run, scale in ((first, 512.0), (second, 2.0)):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        mixed = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
        monkeypatch.setattr(run.fabric.strategy, "_precision", mixed)
    first._save()
    second.resume()
    assert second.fabric.strategy.precision.scaler.get_scale() == 512


def test_resuming_with_something_else_is_refused(uninterrupted, tmp_path):
    out, run = uninterrupted
    fingerprint = run.data.fingerprint
    other = replace(run.recipe, optimiser=replace(run.recipe.optimiser, lr=0.5))
    with pytest.raises(ConfigError, match=r"optimiser\.lr was 0\.02, now 0\.5"):
        run.run.check_same(other, fingerprint)
    with pytest.raises(ConfigError, match="training pictures differ"):
        run.run.check_same(run.recipe, "other")
    run.run.check_same(run.recipe, fingerprint)
    broken = trainer(tmp_path / "broken")
    broken.run.checkpoint_path.write_bytes((out / "last.ckpt").read_bytes()[:999])
    with pytest.raises(CheckpointError, match="cannot read"):
        broken.resume()


def test_accumulated_parts_step_like_the_whole_batch(tmp_path):
    recipe = replace(
        TINY, epochs=1, freeze_batch_norm=True, loss=replace(TINY.loss, triplet_weight=0),
        evaluate_every=0,
    )  # fmt: skip
    whole = trainer(tmp_path / "whole", recipe)
    parts = trainer(tmp_path / "parts", replace(recipe, accumulate=4))
    whole.fit()
    parts.fit()
    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_unlabelled_identities_train_too(tmp_path):
    data = crowd()
    data.train.attributes[:] = -1
    run = trainer(tmp_path / "run", replace(TINY, epochs=1, evaluate_every=0), data)
    assert run.fit()
    assert metrics(tmp_path / "run")[0]["loss/attributes"] == 0


def test_training_starts_from_weights_with_fresh_classifiers(uninterrupted, tmp_path):
    out, run = uninterrupted
    recipe = replace(TINY, start_from=str(out / "model"), seed=TINY.seed + 1)
    network = trainer(tmp_path / "run", recipe).network.state_dict()
    given = run.average.network.state_dict()
    for name, tensor in network.items():
        if "num_batches" not in name:
            assert torch.equal(tensor, given[name]) == (
                "classifier." not in name or "attributes" in name
            ), name
    other = replace(recipe, model=replace(TINY.model, feature_dim=32))
    with pytest.raises(CheckpointError, match="do not fit"):
        trainer(tmp_path / "other", other)


def test_training_starts_from_a_run_with_its_classifiers(uninterrupted, tmp_path):
    out, run = uninterrupted
    recipe = replace(TINY, start_from=str(out), seed=TINY.seed + 1)
    network = trainer(tmp_path / "run", recipe).network.state_dict()
    for name, tensor in run.average.network.state_dict().items():
        assert "num_batches" in name or torch.equal(network[name], tensor), name


def test_classifiers_of_another_number_of_people_are_not_taken_over(uninterrupted, tmp_path):
    out, run = uninterrupted
    recipe = replace(TINY, start_from=str(out))
    network = trainer(tmp_path / "run", recipe, crowd(identities=5)).network.state_dict()
    for name, tensor in run.average.network.state_dict().items():
        same = network[name].shape == tensor.shape and torch.equal(network[name], tensor)
        assert "num_batches" in name or same != of_identities(name), name
