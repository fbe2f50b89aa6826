"""Train a network from a recipe: `recipe` says what, `session` does it with `loop`, `run` keeps it."""

from kalamos.training.recipe import Recipe, load_recipe
from kalamos.training.run import Run, load_run, save_run
from kalamos.training.session import run_recipe

__all__ = ["Recipe", "Run", "load_recipe", "load_run", "run_recipe", "save_run"]
