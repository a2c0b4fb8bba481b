"""From names to objects: the only place that sees both a recipe and the constructors.

Every choice that a recipe offers is a literal table here, so a name can be found by searching for it. What is built
takes plain arguments.
"""

# ruff: noqa: F401 (what is imported here is offered)
from __future__ import annotations

from cen_cli.builders.checkpoints import (
    LoadedNetwork,
    check_fits,
    check_statistics,
    check_trainable,
    from_tensors,
    labels_of_network,
    load,
)
from cen_cli.builders.data import at_hand, check, dataset, palette
from cen_cli.builders.jobs import TrainingJob, training_job
from cen_cli.builders.networks import Network, network, normalized_otherwise, placed
from cen_cli.builders.precision import in_precision, in_recorded_precision
from cen_cli.builders.published import Converted, convert
from cen_cli.builders.scoring import (
    DISTANCES,
    best_by,
    can_score_distances,
    checkpoint_scorer,
    multi_scale_flip,
    scorer,
    validated_without_distances,
)
from cen_cli.builders.trained import TaskLoss, task_loss_of
