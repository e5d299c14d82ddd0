"""One question -> what its source says now: the plug-ins, in their slots and time limits."""

import asyncio
from contextlib import AbstractAsyncContextManager

from matrix_resolve.core.addresses import MAX_KEPT, interleaved
from matrix_resolve.core.http_caching import retry_after, stated_lifetime
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.names import MAX_HOSTNAME
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    NoSrvRecords,
    NotDelegated,
    Question,
    SrvFailed,
)
from matrix_resolve.core.replies import AddressReply, HttpResponse, SrvReply
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.core.well_known import read_well_known
from matrix_resolve.errors import (
    AddressLookupError,
    SrvLookupError,
    WellKnownFetchError,
    is_own_trouble,
)
from matrix_resolve.interfaces import (
    AddressLookup,
    Clock,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.slots import FetchSlots
from matrix_resolve.timeouts import LeftBehind, reply_of


class Upstream:
    """Asks the plug-ins, so many at once and so long as the policy says, and reads the replies."""

    def __init__(
        self,
        *,
        well_known: WellKnownFetcher,
        srv: SrvLookup,
        addresses: AddressLookup,
        policy: Policy,
        clock: Clock,
        left: LeftBehind,
    ) -> None:
        self._well_known = well_known
        self._srv = srv
        self._addresses = addresses
        self._policy = policy
        self._clock = clock
        self._left = left
        self._fetch_slots = FetchSlots(policy.max_well_known_fetches)
        self._dns_slots = asyncio.Semaphore(policy.max_dns_lookups)

    def slot(self, question: Question) -> AbstractAsyncContextManager[object]:
        """Wait for a slot for `question`, and have it in this context; then its time begins."""
        return self._fetch_slots.slot() if isinstance(question, AskWellKnown) else self._dns_slots

    async def ask(self, question: Question) -> Learned:
        """Ask a plug-in, in a slot; its documented error is an answer too."""
        if isinstance(question, AskWellKnown):
            return await self._ask_well_known(question)
        if isinstance(question, AskSrv):
            return await self._ask_srv(question)
        return await self._ask_addresses(question)

    async def _ask_well_known(self, question: AskWellKnown) -> Learned:
        policy = self._policy
        try:
            response = await reply_of(
                self._well_known,
                "fetch",
                question.hostname,
                HttpResponse,
                seconds=policy.well_known_timeout,
                failure=WellKnownFetchError,
                left=self._left,
            )
        except WellKnownFetchError as error:
            own_trouble = is_own_trouble(error)
            temporary = error.temporary or own_trouble
            return Learned(NotDelegated(error.reason, temporary=temporary, own_trouble=own_trouble))
        except AddressLookupError as error:
            reason = f"the web server's addresses could not be found out: {error.reason}"
            return Learned(NotDelegated(reason, temporary=True, own_trouble=True))
        now = self._clock.time()
        return Learned(
            read_well_known(response, max_body=policy.max_body),
            ttl=stated_lifetime(response.headers, now),
            retry_after=retry_after(response.headers, now),
        )

    async def _ask_srv(self, question: AskSrv) -> Learned:
        if len(question.name) > MAX_HOSTNAME:
            return Learned(NoSrvRecords("no records: the name is too long for DNS"))
        try:
            reply = await reply_of(
                self._srv,
                "lookup_srv",
                question.name,
                SrvReply,
                seconds=self._policy.dns_timeout,
                failure=SrvLookupError,
                left=self._left,
            )
        except SrvLookupError as error:
            return Learned(SrvFailed(error.reason))
        return Learned(read_srv_reply(reply), ttl=reply.ttl)

    async def _ask_addresses(self, question: AskAddresses) -> Learned:
        try:
            reply = await reply_of(
                self._addresses,
                "lookup_addresses",
                question.hostname,
                AddressReply,
                seconds=self._policy.dns_timeout,
                failure=AddressLookupError,
                left=self._left,
            )
        except AddressLookupError as error:
            return Learned(AddressesFailed(error.reason))
        kept = interleaved(reply.addresses)[:MAX_KEPT]
        return Learned(Addresses(kept, reply.canonical_name), ttl=reply.ttl)
