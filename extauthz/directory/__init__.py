"""Accounts that live elsewhere, and how they are asked for: one file for each kind of place."""
