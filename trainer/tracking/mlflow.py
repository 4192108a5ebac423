"""MLflow. The server, or the local store, is that of MLFLOW_TRACKING_URI; see MLflow's documentation."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from trainer.run.folder import Run
from trainer.tracking.base import PROJECT, Scalars, numbers

BATCH = 100
"""Largest number of parameters in one request."""


class MlflowTracker:
    """A run of MLflow, by its client, which leaves the process's active run alone."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.id = client, run_id

    def log_settings(self, settings: Scalars) -> None:
        """The settings as parameters."""
        params = [Param(key, str(value)) for key, value in settings.items()]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(self.id, params=params[start : start + BATCH])

    def log_round(self, rounds: int, values: Scalars) -> None:
        """Metrics with the number of rounds as their step."""
        now = int(1000 * time.time())
        self.client.log_batch(self.id, metrics=[Metric(k, v, now, rounds) for k, v in numbers(values).items()])

    def log_figures(self, values: Scalars) -> None:
        """Metrics without steps."""
        self.log_round(0, values)

    def log_file(self, path: Path) -> None:
        """An artifact."""
        self.client.log_artifact(self.id, str(path))

    def close(self, failed: bool) -> None:
        """FINISHED or FAILED."""
        self.client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


def open_tracker(run: Run, known: str | None, settings: Scalars) -> MlflowTracker:
    """Create the run, or go on with a known one; in MLFLOW_EXPERIMENT_NAME, else the experiment "fedmpt"."""
    client = MlflowClient()
    if known is not None:
        client.update_run(known, "RUNNING")
        return MlflowTracker(client, known)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    experiment = client.get_experiment_by_name(name)
    number = experiment.experiment_id if experiment else client.create_experiment(name)
    tracker = MlflowTracker(client, client.create_run(number, run_name=run.name).info.run_id)
    tracker.log_settings(settings)
    return tracker
