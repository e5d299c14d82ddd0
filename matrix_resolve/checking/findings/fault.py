"""Something wrong at one endpoint."""

from attrs import frozen


@frozen
class Fault:
    """A finding of one endpoint, before it is compared with the others'.

    `is_fatal`: peers can't use the endpoint. `where` as in `Finding`.
    """

    code: str
    fact: str
    advice: str
    where: str
    is_fatal: bool = True
