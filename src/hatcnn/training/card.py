"""The model card that every model folder of a run carries."""

from __future__ import annotations

from hatcnn.training.recipe import Recipe


def model_card(recipe: Recipe, epochs: int, scores: str) -> str:
    """Text of ``README.md``: recipe, state of the schedule, scores, terms.

    Args:
        recipe: of the run.
        epochs: finished so far.
        scores: the latest evaluation as printed; empty before the first.
    """
    measured = f"```\n{scores}\n```" if scores else "Not evaluated yet."
    return f"""# {recipe.name}

A person re-identification network trained with the recipe `{recipe.name}` of hatcnn, seed
{recipe.seed}: {epochs} of {recipe.epochs} epochs. The whole recipe is in the run folder's
`recipe.json`.

## Scores at the last evaluation

{measured}

## Terms

Weights inherit the terms of the pictures they were trained on. Market-1501 is for research only.

Re-identification can hurt people. Do not use this model to follow, sort or judge people without
their knowledge and a legal basis; it is wrong often, and not equally often for everyone.
"""
