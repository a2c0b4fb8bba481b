"""cen: channel exchanging networks (Wang et al., NeurIPS 2020) for fusing aligned image modalities.

The public API is what `__init__.pyi` names. It is imported on first use (PEP 562), so that `import cen_cli` and
`cen --help` load no torch.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return __all__
