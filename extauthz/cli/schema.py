"""`extauthz schema`: the JSON Schema of the policy file, for editors."""

import argparse
import json

from extauthz.policyfile.schema import PolicyModel

__all__ = ["add_to", "run"]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("schema", help="print the JSON Schema of the policy file")
    command.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    print(json.dumps(dialect | PolicyModel.model_json_schema(), indent=2))
    return 0
