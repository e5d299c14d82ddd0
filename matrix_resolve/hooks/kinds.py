"""The kinds of questions, as metrics and traces name them."""

from collections.abc import Mapping
from typing import Final

from matrix_resolve.core.questions import AskAddresses, AskSrv, AskWellKnown, Question

KINDS: Final[Mapping[type[Question], str]] = {
    AskWellKnown: "well_known",
    AskSrv: "srv",
    AskAddresses: "addresses",
}
