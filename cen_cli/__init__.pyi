"""The public names, by the modules that define them: what `__init__` imports on first use, and type checkers read."""

from . import errors as errors
from . import metrics as metrics
from . import results as results
from .analysis.health import health as health
from .builders import LoadedNetwork as LoadedNetwork
from .builders import load as load
from .jobs.analyze import analyze as analyze
from .jobs.compare import compare as compare
from .jobs.evaluate import evaluate as evaluate
from .jobs.predict import predict as predict
from .jobs.predict import predict_views as predict_views
from .jobs.report import report as report
from .jobs.sweep import sweep as sweep
from .jobs.train import resume as resume
from .jobs.train import train as train
from .jobs.translate import translate as translate
from .models.conversion import to_cen as to_cen
from .models.dropout import active_dropout as active_dropout
from .models.exchange import ChannelExchange as ChannelExchange
from .models.exchange import exchange_channels as exchange_channels
from .models.exchange import exchange_layers as exchange_layers
from .models.norms import ModalBatchNorm2d as ModalBatchNorm2d
from .models.norms import ModalInstanceNorm2d as ModalInstanceNorm2d
from .models.norms import set_frozen_statistics as set_frozen_statistics
from .models.norms import set_norm_statistics as set_norm_statistics
from .models.norms import set_synchronised as set_synchronised
from .models.sparsity import sparsity_penalty as sparsity_penalty
from .models.streams import ModalOutput as ModalOutput
from .models.streams import PrivateConv2d as PrivateConv2d
from .models.streams import PrivateConvTranspose2d as PrivateConvTranspose2d
from .models.streams import PrivateCopies as PrivateCopies

__version__: str
