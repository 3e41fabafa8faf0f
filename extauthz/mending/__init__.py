"""Mending accounts that we keep: who may, what changes, how the file is edited, and who is told."""
