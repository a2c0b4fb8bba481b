"""The tables of a recipe that say how a network is trained: what is minimised, by which steps, for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cen_cli.recipe.table import AboveZero, Count, Fraction, NonNegative, Positive, Rate, Table, unique

Weights = Annotated[tuple[NonNegative, ...], Field(min_length=1)]


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
    discriminator_lr: AboveZero | None = None
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
