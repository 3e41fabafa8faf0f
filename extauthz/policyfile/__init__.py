"""The policy file: YAML to a `Policy`, with every mistake named by its place; and its reloading."""
