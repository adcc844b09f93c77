"""Faults brought about for real, and what became of the work: in Django projects (`django`), by the tests, and in
FastAPI projects that receive webhooks (`webhooks`), by `make faults`.
"""


class NotProved(Exception):
    """A sentence that says what is missing on this machine."""
