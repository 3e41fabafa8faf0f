"""`extauthz schema`: the JSON Schemas of the policy file, for editors, and of the decision log."""

import argparse
import json

from extauthz.policyfile.schema import PolicyModel
from extauthz.records import line

__all__ = ["add_to", "run"]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "schema",
        help="print the JSON Schema of the policy file, or of a line of the decision log",
    )
    command.add_argument(
        "what",
        nargs="?",
        choices=["policy", "decision"],
        default="policy",
        help="the policy file (default), or a line of the decision log",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.what == "decision":
        schema = line.json_schema()
    else:
        dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        schema = dialect | PolicyModel.model_json_schema()
    print(json.dumps(schema, indent=2))
    return 0
