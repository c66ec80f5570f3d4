"""Tiny training runs, in this process or in others."""

import json
import os
import subprocess
import sys

from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.devices import make_fabric
from hatcnn.models.build import ModelConfig
from hatcnn.training.data import load_training_data
from hatcnn.training.recipe import Augmentation, Loss, Optimiser, Recipe, Sampling, with_identities
from hatcnn.training.run_folder import RunFolder
from hatcnn.training.trainer import Trainer

VOLATILE = ("seconds", "images_per_second", "waiting_for_data", "first_step_seconds")

TINY = Recipe(
    name="tiny",
    epochs=3,
    model=ModelConfig(
        channels=(16, 32, 32), stem_channels=8, feature_dim=16, attribute_dim=16, height=48,
        width=32, direct_sampling=True, bn_neck=True, norm_epsilon=1e-12, colours="exclusive",
    ),
    sampling=Sampling(batch_size=16, pictures_per_identity=4),
    augmentation=Augmentation(flip=0.5, shift=(3, 2), erase=0.3),
    loss=Loss(triplet_weight=0.5),
    optimiser=Optimiser(lr=0.02, nesterov=True, schedule="cosine", warmup=0.1),
    averaging=0.9,
    evaluate_every=1,
)  # fmt: skip


def crowd(identities=10):
    return synthetic_people(
        num_train_identities=identities,
        num_test_identities=5,
        num_distractors=6,
        pictures_per_camera=2,
    )


def trainer(out, recipe=TINY, dataset=None):
    """A trainer as the command makes it, with its run folder begun."""
    data = load_training_data(dataset or crowd(), recipe.model)
    recipe = with_identities(recipe, data.num_identities)
    run = RunFolder(out)
    if not run.checkpoint_path.exists():
        run.begin(recipe, "crowd", data.fingerprint, device="cpu", precision="32-true", processes=1)
    return Trainer(recipe, data, run, make_fabric(accelerator="cpu", devices=1))


def metrics(folder):
    """What a run recorded, without what differs from run to run: times and rates."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in VOLATILE} for line in lines]


def hatcnn(*arguments, processes=0, **options):
    """Start the command in another process, or under torchrun in several."""
    launcher = [sys.executable, "-m"]
    if processes:
        launcher += [
            "torch.distributed.run", "--nproc-per-node", str(processes), "--master-addr",
            "127.0.0.1", "--master-port", str(20000 + os.getpid() % 20000), "-m",
        ]  # fmt: skip
    return subprocess.Popen(
        [*launcher, "hatcnn.cli.main", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
