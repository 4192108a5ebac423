"""The client app of a deployed site: hands messages to the site's process, so that it starts fast."""

from __future__ import annotations

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from trainer.errors import TrainerError
from trainer.flower.envelope import Envelope, Trouble
from trainer.flower.orphans import end_with_parent
from trainer.flower.post import from_records, to_records
from trainer.flower.socket_line import ask

LONGEST = 6 * 3600.0
"""Seconds that training in one round may take; a SuperNode would wait for ever."""

app = ClientApp()


@app.query()
@app.train()
@app.evaluate()
def answer(message: Message, context: Context) -> Message:
    """Hand a message to the site's process, whose socket the SuperNode was told."""
    end_with_parent()
    try:
        found = ask(str(context.node_config["socket"]), from_records(message.content), LONGEST)
    except OSError as error:
        found = Envelope(Trouble(again=True, reason=f"the site's process does not answer ({error})"))
    except TrainerError as error:
        found = Envelope(Trouble(again=False, reason=str(error)))
    return Message(to_records(found), reply_to=message)
