"""Checkpoints published by the paper's authors, and torchvision's ResNets: what is in such a file, under our names.

    torch file -> PublishedTensors -> kind_of -> the kind's own module: sizes from keys and shapes, names -> fit

Everything here is a pure function of tensors by name. What a recipe is to say of the network stands in `build`.
"""
