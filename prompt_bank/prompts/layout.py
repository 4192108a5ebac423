"""The prompts of a bank. Their token layout (METHOD.md §2):

[SOS] u_1 … u_β1 ⟨before⟩ ⟨condition⟩ w_1 … w_β2 ⟨between⟩ ⟨label⟩ ⟨after⟩ [EOT]

⟨before⟩, ⟨between⟩ and ⟨after⟩ are the frozen words of the template around its two fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prompt_bank.errors import BankError, Problem
from prompt_bank.schema import Bank, Condition


@dataclass(frozen=True)
class TemplateParts:
    """The frozen words of a template.

    Attributes:
        before: the words before the condition.
        between: the words between condition and label, after the class tokens.
        after: the words after the label.
    """

    before: str
    between: str
    after: str

    def head(self, condition: str) -> str:
        """The words before the class tokens."""
        return f"{self.before}{condition}".strip()

    def tail(self, label: str) -> str:
        """The words after the class tokens."""
        return f"{self.between}{label}{self.after}".strip()


@dataclass(frozen=True)
class PromptText:
    """A prompt for display; learnable tokens are written as [u1] and [w1]."""

    condition_id: str
    label: str
    text: str


def active_conditions(bank: Bank) -> tuple[tuple[Condition, ...], Literal["accepted", "proposed"]]:
    """The conditions that training uses: the accepted ones, or if there are none, the proposed ones.

    Returns:
        The conditions and their status.

    Raises:
        BankError: no condition is accepted or proposed.
    """
    accepted = tuple(c for c in bank.conditions if c.status == "accepted")
    if accepted:
        return accepted, "accepted"
    proposed = tuple(c for c in bank.conditions if c.status == "proposed")
    if not proposed:
        message = "no condition is accepted or proposed; set a status to accepted, or mine again"
        raise BankError(bank.name, [Problem("conditions", message)])
    return proposed, "proposed"


def template_parts(bank: Bank) -> TemplateParts:
    """The frozen words of a bank's template. In a valid bank both fields occur once, in this order."""
    before, rest = bank.prompt.template.split("{condition}")
    between, after = rest.split("{label}")
    return TemplateParts(before, between, after)


def prompts(bank: Bank) -> list[PromptText]:
    """The prompts of all active conditions with all labels, ordered by condition, then label.

    Raises:
        BankError: the bank has no active condition.
    """
    frozen = template_parts(bank)
    u, w = _learnable("u", bank.prompt.condition_tokens), _learnable("w", bank.prompt.class_tokens)
    return [
        PromptText(c.id, label.name, " ".join(filter(None, [u, frozen.head(c.text), w, frozen.tail(label.name)])))
        for c in active_conditions(bank)[0]
        for label in bank.labels
    ]


def _learnable(letter: str, count: int) -> str:
    """ "[u1] … [u5]" for five tokens, "" for none."""
    if count <= 2:
        return " ".join(f"[{letter}{i + 1}]" for i in range(count))
    return f"[{letter}1] … [{letter}{count}]"
