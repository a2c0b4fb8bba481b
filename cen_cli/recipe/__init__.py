"""Recipes: TOML files that decide a run, checked strictly. Needs no torch."""

from cen_cli.recipe.load import changed_from_defaults, dump_toml, load_recipe, parse_recipe
from cen_cli.recipe.schema import Recipe

__all__ = ["Recipe", "changed_from_defaults", "dump_toml", "load_recipe", "parse_recipe"]
