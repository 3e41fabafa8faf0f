"""What all parts of the policy file's shape are made of."""

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

__all__ = [
    "NAME_PATTERN",
    "TAGS",
    "Model",
    "Name",
    "OneOrMoreTexts",
    "SecretModel",
    "Text",
    "TextList",
]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1)]
TextList = Annotated[list[Text], Field(min_length=1)]
OneOrMoreTexts: TypeAlias = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[TextList, Tag("(list)")],
    Discriminator(lambda value: "(list)" if isinstance(value, list) else "(text)"),
]
TAGS: Final = frozenset({"(text)", "(list)", "(mapping)", "(accounts)", "(directory)"})
"""What pydantic puts into the location of a mistake where a value may have several forms."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SecretModel(Model):
    """Where a password or a token is read; it never stands in the policy."""

    env: Text | None = Field(None, description="Name of an environment variable.")
    file: Text | None = Field(None, description="File that holds it and nothing else.")
