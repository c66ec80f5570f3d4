from pathlib import Path

import pytest

from hatcnn.errors import ConfigError, ExperimentError
from hatcnn.experiments.plan import read_plan

PLANS = sorted((Path(__file__).parents[2] / "benchmarks" / "plans").glob("*.toml"))


@pytest.fixture
def plan(tmp_path):
    def write(text):
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return path

    return write


def test_flags_of_the_plan_come_first_and_those_of_the_experiment_win(plan):
    read = read_plan(
        plan("""
        title = "two"
        hold_out = 7
        flags = "--epochs 3 --optimiser.lr 0.5"
        seeds = [4, 5]
        [[experiment]]
        name = "as it is"
        recipe = "smoke"
        [[experiment]]
        name = "longer"
        words = "more"
        recipe = "smoke"
        flags = "--epochs 9"
        seeds = [1]
        """)
    )
    first, second = read.experiments
    assert (read.title, read.hold_out) == ("two", 7)
    assert (first.recipe.epochs, second.recipe.epochs) == (3, 9)
    assert first.recipe.optimiser.lr == second.recipe.optimiser.lr == 0.5
    assert [(str(p), r.seed) for p, r in first.runs(Path("out"))] == [
        ("out/as-it-is/seed-4", 4),
        ("out/as-it-is/seed-5", 5),
    ]
    assert [r.seed for _, r in second.runs(Path("out"))] == [1]
    assert second.flags == "--epochs 3 --optimiser.lr 0.5 --epochs 9"
    (flagged,) = read_plan(plan(ONE + "flags = '--seed 6'")).experiments
    assert flagged.seeds == (6,)


ONE = '[[experiment]]\nname = "a"\nrecipe = "smoke"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "no TOML"),
        ("title = 'x'", "no [[experiment]]"),
        ("titel = 'x'\n" + ONE, "did you mean 'title'"),
        ("hold_out = 'x'\n" + ONE, "hold_out must be of type int"),
        (ONE + "epochs = 3\n", "unknown key 'epochs'"),
        ("[[experiment]]\nname = 'a'\n", "needs a name and a recipe"),
        (ONE + ONE, "two experiments are called 'a'"),
        (ONE + "seeds = []\n", "seeds must be whole numbers"),
    ],
)
def test_mistakes_are_named(plan, text, message):
    with pytest.raises(ExperimentError) as error:
        read_plan(plan(text))
    assert message in str(error.value)


def test_an_unknown_recipe_stops_before_anything_runs(plan):
    with pytest.raises(ConfigError, match="did you mean 'smoke'"):
        read_plan(plan(ONE + ONE.replace('"a"', '"b"').replace('"smoke"', '"smokey"')))


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(ExperimentError, match=r"missing\.toml"):
        read_plan(tmp_path / "missing.toml")


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.stem)
def test_the_plans_that_come_with_the_project_can_be_read(path):
    assert read_plan(path).experiments
