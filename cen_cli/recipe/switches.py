"""Keys of a recipe that are read only beside certain values of another key, its switch."""

from __future__ import annotations

BASELINES = ("concat", "average", "align", "self-attention")
"""Values of `model.fusion` that fuse the streams to one."""

READ_ONLY_WITH: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("exchange", "model.fusion", ("exchange",)),
    ("sharing", "model.fusion", ("exchange", "none")),
    ("sharing.private_stages", "sharing.conv", ("shared",)),
    ("model.fusion_stage", "model.fusion", BASELINES),
    ("model.classifier", "model.fusion", ("exchange", "none")),
    ("model.classifier", "model.arch", ("refinenet",)),
    ("model.alignment", "model.fusion", ("align",)),
    ("exchange.gamma_init", "model.weights", ("none",)),
    ("exchange.share", "exchange.choose", ("random",)),
    ("exchange.budget", "exchange.choose", ("gamma", "gain", "gate", "random")),
    ("exchange.choose_every", "exchange.choose", ("gamma", "gain")),
    ("exchange.sparsity", "exchange.choose", ("gamma", "none", "random", "all")),
    ("exchange.sparsity_scale", "exchange.choose", ("gamma", "none")),
    ("optimizer.gamma_lr", "model.fusion", ("exchange",)),
    ("optimizer.gamma_weight_decay", "model.fusion", ("exchange",)),
    ("data.rooms", "data.kind", ("rooms",)),
    ("data.train_list", "data.kind", ("nyudv2", "taskonomy", "folders")),
    ("data.val_list", "data.kind", ("nyudv2", "taskonomy", "folders")),
    ("data.test_list", "data.kind", ("folders",)),
    ("data.depth", "data.kind", ("nyudv2", "sunrgbd")),
    ("data.label_start", "data.kind", ("nyudv2",)),
    ("data.skip_incomplete", "data.kind", ("taskonomy", "folders")),
    ("data.folders", "data.kind", ("folders",)),
    ("data.folders.labels", "task", ("segmentation",)),
    ("data.folders.labels.first", "data.folders.labels.stored", ("index",)),
    ("data.folders.labels.values", "data.folders.labels.stored", ("index",)),
    ("data.folders.labels.void", "data.folders.labels.stored", ("index",)),
    ("data.folders.labels.void_colors", "data.folders.labels.stored", ("color",)),
    ("data.target", "task", ("translation",)),
    ("data.normalize", "task", ("segmentation",)),
    ("data.augment.color_jitter", "task", ("segmentation",)),
    ("model.backbone", "model.arch", ("refinenet", "pspnet")),
    ("model.weights", "model.arch", ("refinenet", "pspnet")),
    ("model.width", "model.arch", ("refinenet", "pspnet")),
    ("model.encoder_width", "model.arch", ("refinenet", "pspnet")),
    ("model.light", "model.arch", ("refinenet",)),
    ("model.frozen_stages", "model.arch", ("refinenet", "pspnet")),
    ("model.decoder_norm", "model.arch", ("refinenet",)),
    ("model.dropout", "model.arch", ("refinenet", "pspnet")),
    ("model.auxiliary_weight", "model.arch", ("pspnet",)),
    ("unet", "model.arch", ("unet",)),
    ("gan", "task", ("translation",)),
    ("optimizer.discriminator_lr", "task", ("translation",)),
    ("optimizer.momentum", "optimizer.kind", ("sgd",)),
    ("optimizer.betas", "optimizer.kind", ("adam", "adamw")),
    ("schedule.stage_epochs", "schedule.kind", ("staged",)),
    ("schedule.power", "schedule.kind", ("poly",)),
    ("schedule.constant_epochs", "schedule.kind", ("linear",)),
    ("train.freeze_bn", "task", ("segmentation",)),
    ("train.sync_bn", "task", ("segmentation",)),
    ("eval.scales", "task", ("segmentation",)),
    ("eval.flip", "task", ("segmentation",)),
    ("eval.window", "task", ("segmentation",)),
    ("eval.stride", "task", ("segmentation",)),
    ("eval.norm_statistics", "task", ("translation",)),
    ("eval.distances", "task", ("translation",)),
)
"""(key, switch, values): the key, or the whole table, is read only where the switch has one of those values.

Setting such a key beside another value of its switch is refused, since it would do nothing; inherited by `extends` from
a recipe in which it was read, it is dropped."""
