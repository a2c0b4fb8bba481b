"""The published segmentation network, RefineNet on a bottleneck ResNet, under the names of `refinenet_segmenter`.

| published                                                        | here                                     |
|------------------------------------------------------------------|------------------------------------------|
| `conv1`, `layerS.B.convK`, `layerS.0.downsample.0`               | `encoder.` and the same                  |
| `bn1.bn_m`, `layerS.B.bnK.bn_m`, `layerS.0.downsample.1.bn_m`    | row m of `encoder.` and the same         |
| `p_ims1d2_outlN_dimred`, of which N = 1 is the coarsest          | `decoder.pathP.reduce`, P = 5 - N        |
| `adapt_stageN_b.0.K_conv`, `..._conv_relu_varout_dimred`         | `decoder.pathP.adapt.first` and `second` |
| `adapt_stageN_b2_joint_varout_dimred`                            | `decoder.pathP.join`                     |
| `mflow_conv_gN_pool.0.K_outvar_dimred`                           | `decoder.pathP.pooling.convs`            |
| `mflow_conv_gN_b.0.K_conv`, `..._conv_relu_varout_dimred`        | `decoder.pathP.refine.first`, `second`   |
| `mflow_conv_gN_b3_joint_varout_dimred`                           | `decoder.pathP.widen`                    |
| `clf_conv`, `alpha`                                              | `decoder.classifier`, `ensemble.alpha`   |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cen_cli.models.published.kinds import count_modalities, resnet_name
from cen_cli.models.published.tensors import ROW, PublishedTensors

_DECODER = {
    "reduce": "p_ims1d2_outl{stage}_dimred",
    "adapt.first": "adapt_stage{stage}_b.0.{link}_conv",
    "adapt.second": "adapt_stage{stage}_b.0.{link}_conv_relu_varout_dimred",
    "join": "adapt_stage{stage}_b2_joint_varout_dimred",
    "pooling.convs": "mflow_conv_g{stage}_pool.0.{link}_outvar_dimred",
    "refine.first": "mflow_conv_g{stage}_b.0.{link}_conv",
    "refine.second": "mflow_conv_g{stage}_b.0.{link}_conv_relu_varout_dimred",
    "widen": "mflow_conv_g{stage}_b3_joint_varout_dimred",
}
_IN_PATH = re.compile(r"decoder\.path(?P<path>\d)\.(?P<layer>[a-z.]+?)(\.(?P<index>\d+))?\.(?P<kind>weight|bias)")
_NORM = re.compile(
    r"encoder\.(?P<layer>(.*\.)?(bn\d|downsample\.1))(\.norm)?\.(?P<kind>weight|bias|running_mean|running_var)"
)
_ALONE = {
    "decoder.classifier.weight": "clf_conv.weight",
    "decoder.classifier.bias": "clf_conv.bias",
    "ensemble.alpha": "alpha",
}


@dataclass(frozen=True)
class SegmenterSize:
    """What names and shapes say of a segmentation network."""

    modalities: int
    classes: int
    backbone: str
    width: int
    """Channels of the decoder."""
    encoder_width: int
    """Channels of the encoder's first stage; 64 in every published file."""


def segmenter_size(published: PublishedTensors) -> SegmenterSize:
    """Read off a file's names and shapes. Raises CheckpointError where they tell of no such network."""
    return SegmenterSize(
        modalities=count_modalities(published, r"bn1\.bn_\d+\.weight"),
        classes=published.size("clf_conv.weight", 0),
        backbone=resnet_name(published),
        width=published.size("clf_conv.weight", 1),
        encoder_width=published.size("conv1.weight", 0),
    )


def published_name(own: str) -> str:
    """What the file calls a tensor of ours; with `ROW` where every modality has its own."""
    if own in _ALONE:
        return _ALONE[own]
    if norm := _NORM.fullmatch(own):
        return f"{norm['layer']}.bn_{ROW}.{norm['kind']}"
    if part := _IN_PATH.fullmatch(own):
        layer = _DECODER[part["layer"]].format(stage=5 - int(part["path"]), link=int(part["index"] or 0) + 1)
        return f"{layer}.{part['kind']}"
    return own.removeprefix("encoder.")
