"""One writer, one schema: all durable state in one SQLite file.

`Store` opens it, `Writer` appends (a unit of rows and records commits together), `Reader` looks. SQL stands in
`sql/*.sql`, by name; no other package knows a driver.
"""
