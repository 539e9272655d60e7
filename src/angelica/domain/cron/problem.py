"""Errors about schedule texts: which field, which token, where it stands, and what would be right."""

from __future__ import annotations

from dataclasses import dataclass

from angelica.domain.cron.fields import Field
from angelica.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a schedule text: the field it belongs to, its text, and where it begins in the whole text (from 0)."""

    field: Field
    text: str
    position: int

    def split(self) -> list[Part]:
        """Return the parts between commas."""
        parts: list[Part] = []
        at = self.position
        for text in self.text.split(","):
            parts.append(Part(self.field, text, at))
            at += len(text) + 1
        return parts

    def wrong(self, what: str, rule: str, hint: str) -> InvalidValue:
        """Return the error that this part is `what`."""
        return problem(
            f"{self.field.label}: {what}",
            rule,
            field=self.field.name,
            token=self.text,
            position=self.position,
            hint=hint or self.field.hint,
        )


def problem(
    what: str, rule: str, *, field: str = "", token: str = "", position: int = 0, hint: str = "", pointer: str = "/cron"
) -> InvalidValue:
    """Return an `InvalidValue` for the request field `pointer`, with params `field`, `position`, `token` and `hint`.

    `position` counts characters of the text as it was given, from 0. `field` is a code such as `day_of_week`, or
    empty where the trouble is with the whole text.
    """
    error = InvalidValue(pointer, what, hint=hint, rule=rule, position=position, token=token)
    error.params.update(field=field, hint=hint)  # both names are taken by the constructor's own arguments
    return error
