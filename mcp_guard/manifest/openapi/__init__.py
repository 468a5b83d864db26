"""OpenAPI descriptions (3.0, 3.1): from a document to operations in the form a lock holds.

A description is other people's text. Nothing in it is fetched, followed out of the document or believed: what an
operation says becomes a definition that somebody looks at and locks, or a reason why it cannot be used.
"""
