"""The paper's figures (Wang et al., "FedMPT", CVPR 2026, Tables 1 to 5), to set beside one's own. In per cent.

The paper's F1 figures take, each on its own, the best of nine thresholds on the test images; so does
`test_oracle_thresholds` of a run.
"""

from __future__ import annotations

Figures = dict[str, float]

TITLES = {
    "dualcoop": "Fed-DualCoOp",
    "poscoop": "Fed-PosCoOp",
    "maple": "Fed-MaPLe",
    "tcp": "Fed-TCP",
    "scpnet": "Fed-SCPNet",
    "fedpgp": "FedPGP",
    "fedtpg": "FedTPG",
    "fedawa": "FedAWA",
    "fedram": "Fed-RAM",
    "fedmvp": "FedMVP",
    "fedmpt": "FedMPT",
}
"""What the paper calls each method, in this project's order."""


def _three(mean_ap: float, cf1: float, of1: float) -> Figures:
    return {"mAP": mean_ap, "CF1": cf1, "OF1": of1}


def _only(**mean_ap: float) -> dict[str, Figures]:
    return {method: {"mAP": value} for method, value in mean_ap.items()}


_TABLE1 = {
    "voc2007": _only(dualcoop=84.94, fedtpg=85.12, fedram=85.67, fedmvp=85.59, fedmpt=89.51),
    "coco2014": _only(dualcoop=55.63, fedtpg=58.69, fedram=61.08, fedmvp=61.64, fedmpt=64.65),
    "nuswide": _only(dualcoop=45.00, fedtpg=50.93, fedram=53.33, fedmvp=52.30, fedmpt=56.69),
}

_TABLE2 = {
    "voc2007": {
        "dualcoop": _three(75.28, 69.02, 67.13),
        "scpnet": _three(71.10, 65.91, 63.39),
        "maple": _three(74.21, 70.32, 67.02),
        "fedpgp": _three(72.79, 66.97, 60.40),
        "tcp": _three(72.43, 70.36, 67.88),
        "fedtpg": _three(79.46, 69.10, 63.44),
        "poscoop": _three(74.74, 68.34, 68.07),
        "fedawa": _three(74.56, 66.45, 63.71),
        "fedram": _three(80.66, 72.70, 70.10),
        "fedmvp": _three(79.77, 73.61, 70.77),
        "fedmpt": _three(85.19, 78.72, 76.34),
    },
    "coco2014": {
        "dualcoop": _three(32.45, 33.02, 30.13),
        "scpnet": _three(31.51, 29.98, 29.50),
        "maple": _three(32.69, 33.03, 30.34),
        "fedpgp": _three(32.25, 32.77, 30.18),
        "tcp": _three(33.35, 32.55, 28.58),
        "fedtpg": _three(33.76, 32.14, 31.83),
        "poscoop": _three(32.23, 30.28, 33.02),
        "fedawa": _three(32.93, 32.88, 36.10),
        "fedram": _three(35.68, 35.81, 39.73),
        "fedmvp": _three(36.20, 35.23, 37.35),
        "fedmpt": _three(40.56, 40.60, 44.47),
    },
    "nuswide": {
        "dualcoop": _three(23.99, 19.98, 30.75),
        "scpnet": _three(22.26, 18.85, 29.83),
        "maple": _three(24.81, 21.07, 39.27),
        "fedpgp": _three(25.93, 22.74, 40.68),
        "tcp": _three(26.34, 24.87, 33.58),
        "fedtpg": _three(28.23, 24.45, 39.09),
        "poscoop": _three(24.89, 23.99, 36.12),
        "fedawa": _three(27.85, 28.24, 41.73),
        "fedram": _three(28.54, 27.77, 44.65),
        "fedmvp": _three(26.99, 26.67, 43.11),
        "fedmpt": _three(32.51, 32.78, 47.86),
    },
}

_TABLE3 = {
    "multiscene": {
        "dualcoop": _three(40.09, 31.37, 50.18),
        "fedram": _three(49.41, 39.07, 52.70),
        "fedmvp": _three(49.56, 39.62, 54.16),
        "fedmpt": _three(53.68, 43.97, 57.83),
    },
    "mlrsnet": {
        "dualcoop": _three(38.24, 40.61, 66.97),
        "fedram": _three(47.83, 46.07, 66.18),
        "fedmvp": _three(45.89, 44.98, 66.52),
        "fedmpt": _three(58.76, 50.86, 71.22),
    },
}

_TABLE4 = {
    "voc2007": {
        "prompts": {"mAP": 87.08},
        "adapters": {"mAP": 84.40},
        "both": {"mAP": 87.62},
        "both-gate": {"mAP": round(87.62 + 0.27, 2)},
        "transport": {"mAP": 89.35},
        "transport-gate": {"mAP": 90.10},
    }
}

PAPER: dict[str, dict[str, dict[str, Figures]]] = {
    "table1": _TABLE1,
    "table2": _TABLE2,
    "table3": _TABLE3,
    "table4": _TABLE4,
}
"""Table → data set → method, or row of the ablation → figures. Of tables 1 and 2, means over t and over mask rates."""

ORIENTATION = {"table1": "voc2007", "table2": "voc2007", "table3": "multiscene", "table4": "voc2007"}
"""The data set whose published order a table on the drawn world is set beside."""

OVERHEAD: dict[str, dict[str, float]] = {
    "poscoop": {"total": 86.60e6, "trainable": 0.02e6, "ms": 38.93},
    "maple": {"total": 90.14e6, "trainable": 3.56e6, "ms": 65.25},
    "fedtpg": {"total": 90.79e6, "trainable": 4.21e6, "ms": 59.43},
    "fedram": {"total": 99.60e6, "trainable": 13.02e6, "ms": 384.51},
    "fedmvp": {"total": 87.72e6, "trainable": 1.14e6, "ms": 75.80},
    "fedmpt": {"total": 87.38e6, "trainable": 0.80e6, "ms": 97.03},
}
"""Table 5 (VOC2007, ViT-B/16): parameters in all and trained, milliseconds per iteration. Its total of CLIP, 86.58 M,
is nearly that of the image tower alone (86.19 M)."""


def published(table: str, dataset: str) -> dict[str, Figures]:
    """The paper's figures for a table on a data set; empty if it has none."""
    return PAPER.get(table, {}).get(dataset, {})
