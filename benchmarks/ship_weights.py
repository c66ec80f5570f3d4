"""Put a run's network into the package: weights in half precision, an ONNX graph, a model card.

    python benchmarks/ship_weights.py RUN --data ROOT [--name hatcnn-plus]

The card's numbers are those of the weights as they are shipped, measured here.
`hatcnn evaluate NAME --data ROOT` prints them again.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from gallery_market1501 import quarter
from hatcnn.datasets import open_dataset, pack
from hatcnn.evaluation import Calibration, calibrate, evaluate, score_histogram
from hatcnn.evaluation.thresholds import ScoreHistogram, halves, match_rates
from hatcnn.experiments.runs import read_run
from hatcnn.export import export_model
from hatcnn.files import write_json, write_text
from hatcnn.inference.backends import load_backend
from hatcnn.inference.extraction import extract
from hatcnn.models.checkpoint import load_model, save_model
from hatcnn.models.folder import CALIBRATION, SHIPPED

CARD = Path(__file__).with_name("model_card.md")
RESULTS = Path(__file__).parent / "results" / "market1501"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="hatcnn-plus")
    parser.add_argument("--note", default="", help="a sentence for the card, such as 'An interim.'")
    options = parser.parse_args()

    network, config = load_model(options.run / "model")
    folder = SHIPPED / options.name
    save_model(folder, config, network.state_dict(), card="", half=True)
    # The graph is what serves without torch; it reads the weights from the file beside it.
    print(export_model(folder, to="onnx").agreement.words())
    dataset = open_dataset(options.data)
    backend = load_backend(folder)
    query, gallery = (
        extract(backend, pack(dataset.store, split, config.height, config.width))
        for split in (dataset.query, dataset.gallery)
    )
    report = evaluate(query, gallery).to_json()
    fitted_on, checked_on = (score_histogram(*half) for half in halves(query, gallery))
    calibration = calibrate(
        fitted_on,
        data=f"every other test person of {dataset.name}",
        fingerprint=backend.fingerprint,
    )
    calibration.save(folder / CALIBRATION)
    # The report draws its curves from them.
    for file in ("recipe.json", "environment.json", "metrics.jsonl"):
        write_text(folder / file, (options.run / file).read_text())
    run = read_run(folder)
    recipe, environment = run.recipe, run.environment
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    write_text(
        folder / "README.md",
        card(
            options.name,
            options.note,
            recipe,
            environment,
            metrics,
            report,
            parameters=sum(p.numel() for p in network.parameters()),
            scores=_scores(calibration, checked_on),
        ),
    )
    write_json(
        RESULTS / f"{options.name}.json",
        {
            "what": f"the shipped weights {options.name}",
            "command": f"hatcnn evaluate {options.name} --data ROOT",
            "date": datetime.date.today().isoformat(),
            "data": "Market-1501, single query",
            "environment": environment,
            "recipe": recipe,
            "metrics": metrics,
            "evaluation": report,
            "a quarter": {
                "what": "every fourth test person and distractor, which the tests embed anew",
                "rankings": evaluate(
                    *(part.take(quarter(part.pids)) for part in (query, gallery)), groups=False
                ).to_json()["rankings"],
            },
        },
    )
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    print(f"{folder}: {size:.1f} MiB")
    print(json.dumps(report["rankings"], indent=2))


def card(
    name: str,
    note: str,
    recipe: dict[str, Any],
    environment: dict[str, Any],
    metrics: list[dict[str, Any]],
    report: dict[str, Any],
    *,
    parameters: int,
    scores: str,
) -> str:
    epochs = [line for line in metrics if "images_per_second" in line]
    hours = sum(line["seconds"] for line in epochs) / 3600
    rankings = "\n".join(
        f"| {ranked} | " + " | ".join(f"{r[k]:.1f}" for k in _SCORES) + " |"
        for ranked, r in report["rankings"].items()
    )
    cameras = sorted(report["by_camera"], key=lambda group: group["mAP"])
    people = sorted(
        (g for g in report["by_attribute"] if g["identities"] >= 20), key=lambda group: group["mAP"]
    )
    return CARD.read_text().format(
        name=name,
        note=note,
        height=recipe["model"]["height"],
        width=recipe["model"]["width"],
        recipe=recipe["name"],
        epochs=len(epochs),
        seed=recipe["seed"],
        precision=environment["precision"],
        device=environment["device"],
        hours=hours,
        rankings=rankings,
        parameters=parameters / 1e6,
        scores=scores,
        attributes=_means(report["attributes"]["means"]),
        cameras=_groups(cameras, "query, gallery camera"),
        people=_groups(people, "group"),
    )


_SCORES = ("rank_1", "rank_5", "rank_10", "mAP", "mINP")


def _means(means: dict[str, Any]) -> str:
    percent = {name: f"{100 * score['mean']:.1f}" for name, score in means.items()}
    return (
        f"accuracy {percent['accuracy']} (always guessing the commoner label: "
        f"{percent['majority']}), balanced accuracy {percent['balanced_accuracy']}, "
        f"F1 {percent['f1']}, average precision {percent['average_precision']}"
    )


def _scores(calibration: Calibration, checked_on: ScoreHistogram) -> str:
    lines = [
        "| false matches | score | probability | false matches, others | true matches, others |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rate, threshold in zip(calibration.false_match_rates, calibration.thresholds, strict=True):
        false, true = match_rates(checked_on, threshold)
        probability = float(calibration.probability(threshold))
        cells = (
            f"{rate:.0e}", f"{threshold:.3f}", f"{probability:.3f}", f"{false:.1e}",
            f"{100 * true:.1f} %",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _groups(groups: list[dict[str, Any]], title: str) -> str:
    head = f"| {title} | queries | people | Rank-1 | mAP |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {g['name']} | {g['queries']} | {g['identities']} | {g['rank_1']:.1f} | {g['mAP']:.1f} |"
        for g in (*groups[:4], *groups[-4:])
    )


if __name__ == "__main__":
    main()
