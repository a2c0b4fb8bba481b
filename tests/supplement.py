"""S-Tables 6 to 9 as the paper's supplement prints them: the one copy that the sweeps' numbers are held against."""

from __future__ import annotations

from collections.abc import Iterator

STAGES = ("early", "middle", "late", "all")

TABLE_6 = {
    "rgb-shade-normal": """
        exchange        1.12 / 2.51
        concat          1.33 / 2.83  1.22 / 2.65  1.39 / 2.88  1.34 / 2.85
        average         1.42 / 3.05  1.26 / 2.70  1.40 / 2.90  1.28 / 2.83
        align           1.45 / 3.11  1.39 / 2.93  1.28 / 2.76  1.52 / 3.25
        self-attention  1.30 / 2.82  1.18 / 2.59  1.42 / 2.91  1.26 / 2.76""",
    "rgb-normal-shade": """
        exchange        1.10 / 1.72
        concat          1.56 / 2.45  1.38 / 2.12  1.26 / 1.92  1.28 / 2.02
        average         1.46 / 2.29  1.28 / 2.04  1.51 / 2.39  1.23 / 1.86
        align           1.39 / 2.26  1.32 / 2.16  1.27 / 2.04  1.41 / 2.21
        self-attention  1.21 / 1.83  1.15 / 1.73  1.45 / 2.28  1.18 / 1.76""",
    "rgb-edge-depth": """
        exchange        0.28 / 0.66
        concat          0.34 / 0.75  0.32 / 0.74  0.38 / 0.79  0.33 / 0.75
        average         0.36 / 0.78  0.34 / 0.76  0.36 / 0.77  0.33 / 0.74
        align           0.44 / 0.89  0.39 / 0.82  0.42 / 0.86  0.44 / 0.90
        self-attention  0.30 / 0.71  0.33 / 0.73  0.34 / 0.75  0.30 / 0.70""",
}
"""MAE / MSE, both x 10^-1: exchange, then each baseline at the four stages."""

TABLE_7 = """
    unshared                45.5 35.8 47.6
    all-shared              43.7 35.5 45.2
    shared                  46.2 38.4 48.0
    unshared-half           45.1 35.5 47.3
    unshared-half-exchange  46.5 41.6 48.5
    shared-half             46.0 38.1 47.7
    shared-half-exchange    49.7 45.1 51.1
    unshared-all            44.6 35.3 46.6
    unshared-all-exchange   46.8 41.7 49.1
    shared-all              46.1 37.9 47.5
    shared-all-exchange     48.6 39.0 49.8"""
"""Mean IoU in percent: rgb, depth, ensemble."""

TABLE_8 = {
    "two": """
        shade     102.21 / 5.25  112.40 / 5.58  100.69 / 4.51  72.07 / 2.32
        texture    98.19 / 4.83  102.28 / 5.22   93.40 / 4.18  65.60 / 1.82
        ensemble   92.72 / 4.15   96.31 / 4.36   87.91 / 3.73  62.63 / 1.65""",
    "three": """
        shade     101.86 / 5.18  115.51 / 5.77   98.49 / 4.07  69.37 / 2.21
        texture    98.60 / 4.89  104.39 / 4.54   95.87 / 4.27  64.70 / 1.73
        depth     114.18 / 5.71  121.40 / 6.23  107.07 / 5.19  71.61 / 2.27
        ensemble   91.30 / 3.92  100.41 / 4.73   84.39 / 3.45  58.35 / 1.42""",
    "four": """
        shade     100.83 / 5.06  131.74 / 7.48   96.98 / 4.23  68.70 / 2.14
        texture    97.34 / 4.77  109.45 / 4.86   94.64 / 4.22  63.26 / 1.69
        depth     114.50 / 5.83  125.54 / 6.48  109.93 / 5.41  70.47 / 2.09
        normal    108.65 / 5.45  113.15 / 5.72   99.38 / 4.45  67.73 / 1.98
        ensemble   89.52 / 3.80  102.78 / 4.67   86.76 / 3.63  57.19 / 1.33""",
}
"""FID / KID x 10^-2 of the variants of COLUMNS_8."""

COLUMNS_8 = ("unshared", "all-shared", "shared", "exchange")

TABLE_9 = {
    "three": """
        shade     101.86 / 5.18   98.49 / 4.07  107.86 / 5.53  105.29 / 5.29
        texture    98.60 / 4.89   95.87 / 4.27  105.46 / 5.25  102.90 / 5.06
        depth     114.18 / 5.71  102.07 / 4.89  118.35 / 6.07  114.35 / 5.80
        ensemble   91.30 / 3.92   84.39 / 3.45   96.30 / 4.41   92.25 / 4.02""",
    "four": """
        shade     100.83 / 5.06   96.98 / 4.23  113.56 / 5.65  102.74 / 5.17
        texture    97.34 / 4.77   94.64 / 4.22  105.36 / 5.32   97.53 / 4.56
        depth     114.50 / 5.83  109.93 / 5.41  119.31 / 6.20  112.73 / 5.60
        normal    108.65 / 5.45   99.38 / 4.45  108.01 / 5.06  100.34 / 4.53
        ensemble   89.52 / 3.80   86.76 / 3.63   95.56 / 4.64   89.26 / 3.91""",
}
"""FID / KID x 10^-2 of the variants of COLUMNS_9."""

COLUMNS_9 = ("unshared", "shared", "shared-affine", "shared-statistics")

Number = tuple[str, str, str, float]
"""Group, variant, branch.metric, value in the metric's own unit."""


def table_6() -> Iterator[Number]:
    for group, text in TABLE_6.items():
        for method, pairs in _lines(text):
            for stage, (mae, mse) in zip(STAGES, pairs, strict=False):
                variant = method if method == "exchange" else f"{method}-{stage}"
                yield group, variant, "ensemble.mae", mae / 10
                yield group, variant, "ensemble.mse", mse / 10


def table_7() -> Iterator[Number]:
    for line in TABLE_7.strip().splitlines():
        variant, *percents = line.split()
        for branch, percent in zip(("rgb", "depth", "ensemble"), percents, strict=True):
            yield "", variant, f"{branch}.mean_iou", float(percent) / 100


def table_8() -> Iterator[Number]:
    yield from _distances(TABLE_8, COLUMNS_8)


def table_9() -> Iterator[Number]:
    yield from _distances(TABLE_9, COLUMNS_9)


def _distances(table: dict[str, str], variants: tuple[str, ...]) -> Iterator[Number]:
    for group, text in table.items():
        for branch, pairs in _lines(text):
            for variant, (fid, kid) in zip(variants, pairs, strict=True):
                yield group, variant, f"{branch}.fid", fid
                yield group, variant, f"{branch}.kid", kid / 100


def _lines(text: str) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each line's name and its pairs of numbers."""
    for line in text.strip().splitlines():
        name, *words = line.replace("/", " ").split()
        numbers = [float(word) for word in words]
        yield name, list(zip(numbers[::2], numbers[1::2], strict=True))
