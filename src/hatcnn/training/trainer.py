"""The training loop.

Order of pictures, augmentation and learning rate are pure functions of (recipe, step), so a
checkpoint is the weights, the optimiser and a few counters, and a resumed run does what an
uninterrupted one would have done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hatcnn.devices import Fabric
from hatcnn.errors import ConfigError, TrainingError
from hatcnn.evaluation import evaluate
from hatcnn.inference.extraction import extract
from hatcnn.inference.torch_backend import TorchBackend
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import load_state, save_model, start_from
from hatcnn.progress import progress
from hatcnn.training.averaging import WeightAverage
from hatcnn.training.batches import Batches
from hatcnn.training.board import Board
from hatcnn.training.card import model_card
from hatcnn.training.data import TrainingData
from hatcnn.training.losses import losses, positive_shares
from hatcnn.training.position import Position
from hatcnn.training.recipe import Recipe
from hatcnn.training.run_folder import RunFolder, evaluated_weights
from hatcnn.training.sampler import Indices, Orders
from hatcnn.training.schedule import learning_rate
from hatcnn.training.stopping import stop_requests

_CHECK_EVERY = 10
"""Steps between looks at the loss and at requests to stop: each look waits for the device."""


class Trainer:
    """Trains one network.

    Args:
        recipe: what to do; its model's number of identities is the data's.
        data: packed pictures and labels.
        run: folder that checkpoints and metrics go to.
        fabric: launched; device, precision and processes.

    Raises:
        ConfigError: when the batch cannot be divided among processes and accumulated parts.
    """

    def __init__(self, recipe: Recipe, data: TrainingData, run: RunFolder, fabric: Fabric) -> None:
        parts = fabric.world_size * recipe.accumulate
        if recipe.sampling.batch_size % parts:
            raise ConfigError(
                f"sampling.batch_size {recipe.sampling.batch_size} cannot be divided among "
                f"{fabric.world_size} processes x {recipe.accumulate} accumulated parts"
            )
        self.recipe, self.data, self.run, self.fabric = recipe, data, run, fabric
        self.part_size = recipe.sampling.batch_size // parts
        self.steps_per_epoch = len(data.train.split) // recipe.sampling.batch_size
        self.at = Position()
        self.sums: dict[str, Tensor] = {}
        # Apple's GPUs have no float64.
        self.sum_type = torch.float32 if fabric.device.type == "mps" else torch.float64

        torch.manual_seed(recipe.seed)
        self.network = build_model(recipe.model)
        if recipe.start_from and not run.checkpoint_path.exists():
            start_from(self.network, evaluated_weights(recipe.start_from), source=recipe.start_from)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.optimiser.lr,
            momentum=recipe.optimiser.momentum,
            nesterov=recipe.optimiser.nesterov,
            weight_decay=recipe.optimiser.weight_decay,
            fused=True,
        )
        network: nn.Module = self.network
        on_gpu = fabric.device.type == "cuda"
        # All batches have one shape, so trying what cuDNN has pays once.
        torch.backends.cudnn.benchmark = on_gpu
        if recipe.compile == "always" or (recipe.compile == "auto" and on_gpu):
            # On a GPU this mode replays whole steps as CUDA graphs.
            mode = "reduce-overhead" if on_gpu else "default"
            network = torch.compile(network, mode=mode)  # type: ignore[assignment]
        self.wrapped, self.optimiser = fabric.setup(network, optimiser)
        self.average = WeightAverage(self.network, recipe.averaging) if recipe.averaging else None
        self.orders = Orders(data.train.split.pids, recipe.sampling, seed=recipe.seed)
        self.batches = Batches(data, recipe, fabric.device)
        self.shares = (
            positive_shares(data.attributes).to(fabric.device)
            if recipe.loss.balance_attributes
            else None
        )
        self.first_step_seconds: float | None = None
        self.first_bad_step = torch.tensor(-1, device=fabric.device)

    def resume(self) -> None:
        """Go on from the run folder's checkpoint.

        Raises:
            CheckpointError: when it cannot be read.
            ConfigError: when the recipe's schedule ends before it.
        """
        state = self.run.load_checkpoint()
        source = str(self.run.checkpoint_path)
        load_state(self.network, state["network"], source=source)
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average:
            load_state(self.average.network, state["average"], source=source)
        if state.get("precision"):
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.at = Position(**state["progress"])
        if self.at.epoch + bool(self.at.position) > self.recipe.epochs:
            raise ConfigError(
                f"{self.run.path} has done {self.at.epoch} epochs and {self.at.position} steps: "
                f"a schedule of {self.recipe.epochs} epochs is over"
            )
        torch.set_rng_state(state["random"])
        if self.fabric.is_global_zero:
            self.run.truncate_metrics(state["metrics_size"])
            self.run.reschedule(self.recipe, self.at.step)

    def fit(self, max_minutes: float | None = None) -> bool:
        """Train until the schedule ends, time is up, or a signal asks to stop.

        SIGTERM, SIGUSR1 and the first Ctrl-C end the step in hand and write a checkpoint.

        Returns:
            Whether the schedule has ended.

        Raises:
            TrainingError: when the loss is not finite.
        """
        deadline = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
        board = None
        if self.fabric.is_global_zero:
            pictures = self.data.train.images
            examples = np.array(pictures[:: max(1, len(pictures) // 4)][:4])
            board = Board(self.run.tensorboard_path, self.at.step, examples)
        try:
            return self._fit(deadline, board)
        finally:
            if board:
                board.close()

    def _fit(self, deadline: float, board: Board | None) -> bool:
        recipe, size = self.recipe, self.recipe.sampling.batch_size
        total = size * self.steps_per_epoch * recipe.epochs
        with (
            stop_requests() as requested,
            progress(
                f"training {recipe.name}", total, "images", start=size * self.at.step
            ) as advance,
        ):
            while True:
                if self._evaluation_due():
                    self._evaluate(board)
                if self.at.epoch == recipe.epochs:
                    self._save()
                    return True
                for _ in self._steps():
                    advance(size)
                    if self._agreed(bool(requested) or time.monotonic() > deadline):
                        self._save()
                        return False
                self._end_epoch(board)

    def _steps(self) -> Iterator[None]:
        """The rest of the epoch in hand, one step at a time."""
        self.wrapped.train()
        if self.recipe.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        batches = self.orders(self.at.epoch)
        self.sums = {
            k: torch.tensor(v, dtype=self.sum_type, device=self.fabric.device)
            for k, v in self.at.sums.items()
        }
        for batch in batches[self.at.position :]:
            start, waited = time.perf_counter(), self.batches.seconds
            self._step(batch)
            self.at.advance()
            if self.at.position % _CHECK_EVERY == 0:
                self._check_finite()
            seconds = time.perf_counter() - start
            if self.first_step_seconds is None:
                self.first_step_seconds = seconds
            else:
                self.at.time(seconds, self.batches.seconds - waited)
            yield
        self._check_finite()

    def _step(self, batch: Indices) -> None:
        recipe = self.recipe
        rate = learning_rate(recipe.optimiser, self.at.step, recipe.epochs * self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        for part in range(recipe.accumulate):
            begin = (self.fabric.global_rank * recipe.accumulate + part) * self.part_size
            rows = slice(begin, begin + self.part_size)
            last = part == recipe.accumulate - 1
            with self.fabric.no_backward_sync(self.wrapped, enabled=not last):
                terms = self._forward(batch[rows], rows)
                self.fabric.backward(terms["total"] / recipe.accumulate)
            for name, value in terms.items():
                share = value.detach().to(self.sum_type) / recipe.accumulate
                self.sums[name] = self.sums.get(name, torch.zeros_like(share)) + share
            bad = ~torch.isfinite(terms["total"].detach()) & (self.first_bad_step < 0)
            self.first_bad_step.masked_fill_(bad, self.at.step)
        self.optimiser.step()
        self.optimiser.zero_grad()
        if self.average:
            self.average.update(self.at.step)

    def _forward(self, indices: Indices, rows: slice) -> dict[str, Tensor]:
        images, classes, attributes = self.batches(indices, self.at.step, rows)
        output = self.wrapped(images)
        recipe = self.recipe
        return losses(output, classes, attributes, recipe.loss, recipe.model.colours, self.shares)

    def _check_finite(self) -> None:
        step = int(self.first_bad_step)
        if step >= 0:
            kept = self.run.checkpoint_path
            good = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint yet"
            raise TrainingError(
                f"the loss is not finite at step {step} (epoch {step // self.steps_per_epoch}); "
                f"{good}. Lower optimiser.lr or lengthen optimiser.warmup"
            )

    def _agreed(self, stop: bool) -> bool:
        """Whether any process wants to stop; all processes get the same answer."""
        if self.fabric.world_size == 1:
            return stop
        if self.at.step % _CHECK_EVERY:
            return False
        wish = torch.tensor(float(stop), device=self.fabric.device)
        return bool(self.fabric.all_reduce(wish, reduce_op="sum") > 0)  # type: ignore[operator]

    def _end_epoch(self, board: Board | None) -> None:
        recipe, at = self.recipe, self.at
        names = sorted(self.sums)
        means = torch.stack([self.sums[n] for n in names]) / self.steps_per_epoch
        means = self.fabric.all_reduce(means, reduce_op="mean")  # type: ignore[assignment]
        record: dict[str, Any] = {
            "epoch": at.epoch + 1,
            "step": at.step,
            "lr": self.optimiser.param_groups[0]["lr"],
            **{f"loss/{n}": float(v) for n, v in zip(names, means, strict=True)},
            **at.speed(recipe.sampling.batch_size),
            "first_step_seconds": round(self.first_step_seconds or 0.0, 2),
        }
        left = (recipe.epochs - at.epoch - 1) * at.seconds
        at.end_epoch()
        if board:
            self.run.record(record)
            board.scalars(
                {k: v for k, v in record.items() if k not in ("epoch", "step") and v is not None},
                at.step,
            )
            terms = "  ".join(f"{n} {record[f'loss/{n}']:.3f}" for n in names)
            print(
                f"epoch {record['epoch']}/{recipe.epochs}  {terms}  "
                f"{record['images_per_second'] or 0:.0f} images/s  {left / 60:.0f} min left",
                flush=True,
            )
        if self.at.epoch % recipe.checkpoint_every == 0 or self.at.epoch == recipe.epochs:
            self._save()

    def _evaluation_due(self) -> bool:
        if self.data.query is None or self.data.gallery is None or self.at.position:
            return False
        epoch, every = self.at.epoch, self.recipe.evaluate_every
        due = epoch == self.recipe.epochs or (every > 0 and epoch > 0 and epoch % every == 0)
        return due and self.at.evaluated != epoch

    def _evaluate(self, board: Board | None) -> None:
        assert self.data.query is not None
        assert self.data.gallery is not None
        network = self._evaluated_network().eval()
        # Each process has normalised by statistics of its own pictures; judge the first's.
        if self.fabric.world_size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)
        backend = TorchBackend(network, self.recipe.model, self.fabric)
        query, gallery = (
            extract(backend, split, self.fabric) for split in (self.data.query, self.data.gallery)
        )
        self.at.evaluated = self.at.epoch
        if board:
            result = evaluate(query, gallery, groups=False)
            self.at.scores = str(result)
            self.run.record({"epoch": self.at.epoch, "evaluation": result.to_json()})
            board.scalars(
                {
                    f"evaluation/{name}/{score}": value
                    for name, ranking in result.rankings.items()
                    for score, value in ranking.to_json().items()
                    if value is not None and not score.startswith("queries")
                },
                self.at.step,
            )
            board.regions(network, self.at.step)
            print(result, flush=True)
        self.fabric.barrier()

    def _evaluated_network(self) -> nn.Module:
        return self.average.network if self.average else self.network

    def _save(self) -> None:
        """Write checkpoint and model folder, after making sure that the weights are good."""
        self._check_finite()
        self.at.sums = {k: float(v) for k, v in self.sums.items()} if self.at.position else {}
        if self.fabric.is_global_zero:
            self.run.save_checkpoint(
                {
                    "network": self.network.state_dict(),
                    "average": self.average.network.state_dict() if self.average else {},
                    "optimiser": self.optimiser.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "progress": vars(self.at),
                    "random": torch.get_rng_state(),
                    "metrics_size": self.run.metrics_size(),
                }
            )
            save_model(
                self.run.model_path,
                self.recipe.model,
                self._evaluated_network().state_dict(),
                card=model_card(self.recipe, self.at.epoch, self.at.scores),
            )
        self.fabric.barrier()
