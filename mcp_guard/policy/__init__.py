"""Who may do what, and why: Casbin files, checked, compiled and decided by our semantics.

    load.load(model, rules, tools)  ->  Snapshot  ->  decide(AccessRequest)  ->  Decision

The files stay plain Casbin; this is the one package that knows casbin.
"""
