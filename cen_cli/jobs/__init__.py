"""The use cases behind the commands, in plain Python: plain arguments in, records of `cen_cli.results` out.

Arguments that they share:
    recipe: the path of a recipe, the name of a shipped one, its tables as a dict, or a `Recipe`.
    changes: dotted keys of the recipe and their values, `{"train.epochs": 2}`, checked as the recipe's own are.
    checkpoint: a run directory (its best checkpoint, or the last), a checkpoint directory or a `model.safetensors`.
    data_root: a folder in place of the recipe's `data.root`.
    device: "cpu", "cuda", "cuda:N", "mps", or "auto" for the fastest that is there.
    inception_weights: the file with Inception's weights, for FID and KID.
    listener: is told how the work goes; override what you need of `cen_cli.results.Listener`.

Errors carry a message and a hint. A request that is wrong (a recipe, a name, a path, a device) is a UsageError; a file
of the data a DataError, a damaged checkpoint a CheckpointError, a file that cannot be written a SaveError.
"""
