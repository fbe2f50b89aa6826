"""Train, export and compare networks: the one package that imports PyTorch (`pip install kalamos[train]`)."""

from kalamos.learn.callbacks import Callback, EpochReport
from kalamos.learn.recipe import Recipe, load_recipe
from kalamos.learn.run import Run, load_run, save_run
from kalamos.learn.train import CalibrationWarning, choose_recipe, resume_run, run_recipe, train

__all__ = [
    "CalibrationWarning",
    "Callback",
    "EpochReport",
    "Recipe",
    "Run",
    "choose_recipe",
    "load_recipe",
    "load_run",
    "resume_run",
    "run_recipe",
    "save_run",
    "train",
]
