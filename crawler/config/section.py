"""What all sections have in common: frozen, unknown keys refused, problems as `ConfigError`, secrets never shown."""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from crawler.config.parsed import Finding, refuse_all
from crawler.config.problems import problems_of
from crawler.errors import ConfigError


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as exc:
            # Not chained: the original carries every input, secrets included.
            raise ConfigError(problems_of(exc, type(self))) from None

    # Nested validation need not call this __init__, which would lose the context; RootModel says it the same way.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong between keys of this section that are right one by one."""
        yield from ()

    @model_validator(mode="after")
    def _refuse_findings(self) -> Self:
        if found := list(self.findings()):
            raise refuse_all(found)
        return self
