"""Operator and reader use-cases beside the calls themselves."""
