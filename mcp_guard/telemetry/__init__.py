"""Logs for operators. stdout is data; everything here goes to stderr."""
