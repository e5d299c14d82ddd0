"""The specification's steps without asyncio, sockets or a clock: you are the network.

    python examples/drive_the_core.py example.org

`decide()` says what to ask next, or the decision. Here a person answers; any program could.
"""

import sys
from collections.abc import Callable

from matrix_resolve import (
    Answer,
    AskWellKnown,
    Decision,
    HttpResponse,
    Question,
    ServerName,
    SrvRecord,
    SrvReply,
    decide,
    read_srv_reply,
    read_well_known,
)


def resolve(name: str, ask: Callable[[Question], Answer]) -> Decision:
    """Ask until nothing is open."""
    server_name = ServerName.parse(name)
    answers: dict[Question, Answer] = {}
    while not isinstance(outcome := decide(server_name, answers), Decision):
        answers[outcome] = ask(outcome)
    return outcome


def ask_a_person(question: Question) -> Answer:
    """Put the question on the terminal, and read what is typed as the reply."""
    if isinstance(question, AskWellKnown):
        body = input(f"The body of {question} (empty for a 404): ").encode()
        response = HttpResponse(status=200 if body else 404, headers=[], body=body, url="")
        return read_well_known(response, max_body=50 * 1024)
    line = input(f"{question}, as 'priority weight port target' (empty for none): ")
    if not line:
        return read_srv_reply(SrvReply([]))
    priority, weight, port, target = line.split()
    return read_srv_reply(SrvReply([SrvRecord(int(priority), int(weight), int(port), target)]))


if __name__ == "__main__":
    decision = resolve((sys.argv[1:] or ["example.org"])[0], ask_a_person)
    print(f"step {decision.step.value}: connect to {', '.join(map(str, decision.candidates))}")
    print(f"Host: {decision.host_header}, certificate for {decision.tls_name}")
