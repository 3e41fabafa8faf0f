"""Requests that nobody makes, as an operator writes them: tried under a policy, and explained."""
