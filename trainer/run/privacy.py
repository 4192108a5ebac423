"""The record of how often clients were asked for their update, in a run's privacy.json.

An update that was sent stays sent. So the count is written before a client is asked, and is not taken back when a run
goes on from an earlier checkpoint, as its other records are.
"""

from __future__ import annotations

from collections.abc import Iterable

from trainer.config.sections import PrivacyConfig
from trainer.errors import TrainerError
from trainer.federation.privacy import Spent, spent
from trainer.run.folder import Run
from trainer.run.records import PrivacyRecord, read_record

FILE = "privacy.json"


class PrivacyLedger:
    """What a run's clients have spent.

    Args:
        run: the run.
        settings: with privacy on.

    Raises:
        FedmptError: the record is damaged, or of another amount of noise.
    """

    def __init__(self, run: Run, settings: PrivacyConfig) -> None:
        self.run, self.settings = run, settings
        path = run.folder / FILE
        self.asked: dict[int, int] = {}
        if not path.exists():
            return
        _, record = read_record(path, PrivacyRecord)
        if record.noise_multiplier != settings.noise_multiplier:
            raise TrainerError(
                f"{path}: the run began with a noise multiplier of {record.noise_multiplier:g}, the settings say "
                f"{settings.noise_multiplier:g}; begin another run"
            )
        self.asked = {int(client): count for client, count in record.asked.items()}

    def ask(self, clients: Iterable[int]) -> Spent:
        """Count another update of these clients, on disk, before they are asked for it.

        Returns:
            What then protects the client that was asked most often.
        """
        for client in clients:
            self.asked[client] = self.asked.get(client, 0) + 1
        asked = {str(client): count for client, count in sorted(self.asked.items())}
        self.run.write_json(FILE, {"noise_multiplier": self.settings.noise_multiplier, "asked": asked})
        return spent(self.settings, max(self.asked.values()))
