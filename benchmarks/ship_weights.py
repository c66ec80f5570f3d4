"""Put a run's network into the package: weights in half precision, and a model card.

    python benchmarks/ship_weights.py RUN --data ROOT [--name hatcnn-plus]

The card's numbers are those of the weights as they are shipped, measured here. `hatcnn evaluate NAME
--data ROOT` prints them again.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from hatcnn.datasets import open_dataset, pack
from hatcnn.evaluation import evaluate
from hatcnn.files import write_json, write_text
from hatcnn.inference.backends import load_backend
from hatcnn.inference.extraction import extract
from hatcnn.models.checkpoint import SHIPPED, load_model, save_model

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
    dataset = open_dataset(options.data)
    backend = load_backend(folder)
    query, gallery = (
        extract(backend, pack(dataset.store, split, config.height, config.width))
        for split in (dataset.query, dataset.gallery)
    )
    report = evaluate(query, gallery).to_json()
    recipe = json.loads((options.run / "recipe.json").read_text())["recipe"]
    environment = json.loads((options.run / "environment.json").read_text())
    lines = (options.run / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    write_text(folder / "README.md", card(options.name, options.note, recipe, metrics, report))
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
        },
    )
    size = (folder / "model.safetensors").stat().st_size / 2**20
    print(f"{folder}: {size:.1f} MiB")
    print(json.dumps(report["rankings"], indent=2))


def card(
    name: str,
    note: str,
    recipe: dict[str, Any],
    metrics: list[dict[str, Any]],
    report: dict[str, Any],
) -> str:
    epochs = [line for line in metrics if "images_per_second" in line]
    hours = sum(line["seconds"] for line in epochs) / 3600
    rankings = "\n".join(
        f"| {ranked} | " + " | ".join(f"{r[k]:.1f}" for k in _SCORES) + " |"
        for ranked, r in report["rankings"].items()
    )
    attributes = report["attributes"]
    cameras = sorted(report["by_camera"], key=lambda group: group["mAP"])
    people = sorted(
        (g for g in report["by_attribute"] if g["identities"] >= 20), key=lambda group: group["mAP"]
    )
    return f"""---
license: other
license_name: research-only
library_name: hatcnn
tags: [person-re-identification, attributes, market-1501]
---

# {name}

Finds the same person across cameras and says what the person wears: HAT-CNN (4.12 million parameters at test
time) for pictures of {recipe["model"]["height"]} x {recipe["model"]["width"]} pixels, trained from scratch. {note}

```console
$ hatcnn embed crops/ --model {name} --out people.npz
$ hatcnn evaluate {name} --data ROOT
```

## Data and terms

Trained on the 12,936 training pictures of Market-1501 (751 people, six cameras on one campus in one summer) and
their attribute labels, and on nothing else. **The data set is for research only, and so are these weights.**

## Training

Recipe `{recipe["name"]}`, {len(epochs)} epochs, seed {recipe["seed"]}, {recipe["precision"]}, {hours:.1f} hours of
steps on two CPU cores. One run: how much the numbers move from seed to seed is not known.

## Results

Market-1501, single query, no re-ranking, no averaging over flips, in per cent; the weights as shipped.

| ranked by | Rank-1 | Rank-5 | Rank-10 | mAP | mINP |
| --- | --- | --- | --- | --- | --- |
{rankings}

Attributes, mean over those that the test labels define: {_means(attributes)}.

### By camera pair, identity

Hardest and easiest; `hatcnn evaluate` prints all.

{_groups(cameras, "query, gallery camera")}

### By what the person wears, identity

Groups of at least 20 people, hardest and easiest.

{_groups(people, "group")}

## Known failures

- It has seen one place, one season and light clothing. Elsewhere it is worse; measure before you rely on it.
- Two people dressed alike are taken for one another, and one person who changes clothes for two.
- Rare attributes are rarely predicted: see F1 beside accuracy in `hatcnn evaluate`.
- Labels are by person, not by picture: a backpack counts when it cannot be seen.

## Use

Read `docs/responsible-use.md`. Do not use this model to follow, sort or judge people without their knowledge and
a legal basis; it is wrong often, and not equally often for everyone.
"""


_SCORES = ("rank_1", "rank_5", "rank_10", "mAP", "mINP")


def _means(attributes: dict[str, Any]) -> str:
    means = attributes["mean"]
    return (
        f"accuracy {means['accuracy']:.1f} (always guessing the commoner label: "
        f"{means['majority']:.1f}), balanced accuracy {means['balanced_accuracy']:.1f}, "
        f"F1 {means['f1']:.1f}, average precision {means['average_precision']:.1f}"
    )


def _groups(groups: list[dict[str, Any]], title: str) -> str:
    head = f"| {title} | queries | people | Rank-1 | mAP |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {g['name']} | {g['queries']} | {g['identities']} | {g['rank_1']:.1f} | {g['mAP']:.1f} |"
        for g in (*groups[:4], *groups[-4:])
    )


if __name__ == "__main__":
    main()
