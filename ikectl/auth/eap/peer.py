"""EapPeer: we prove ourselves to an EAP server, for IKE (RFC 7296 §2.16)."""

from __future__ import annotations

from ikectl.auth.eap.base import PeerContext, Random
from ikectl.auth.eap.dialogue import PeerDialogue
from ikectl.auth.eap.table import PEERS
from ikectl.config.model import Local, Remote
from ikectl.values.identity import ExactIdentity, Identity


class EapPeer(PeerDialogue):
    """One conversation: `take` each message, until `succeeded`; then `msk`, if it is not None, goes into AUTH."""

    def __init__(
        self,
        local: Local,
        identity: Identity,
        random: Random,
        server: Identity | None = None,
        only_mutual: bool = False,
        demands: Remote | None = None,
    ) -> None:
        """`identity` is who we are where `local.eap_id` says nothing, `server` the peer as IKE knows it, if it does.

        `random` (octet count -> octets) makes challenges. `only_mutual`: nothing but EAP will prove the
        server (RFC 5998), so only methods that do are taken. `demands` is the remote section that EAP is to
        prove: the server's certificate is judged by all that it wants, its id excepted.
        """
        user = local.eap_id or identity
        context = PeerContext(local, user, local.aaa_id, random, PEERS, demands or Remote("aaa"))
        super().__init__(
            context, [kind for kind in local.auth.eap if kind in PEERS and (PEERS[kind].mutual or not only_mutual)]
        )
        if server is not None:
            self.meet(server)

    def meet(self, server: Identity) -> None:
        """The peer said in IKE who it is: without `aaa_id` the EAP server has to be the same."""
        if self.context.local.aaa_id is None and not server.is_any:
            self.context.server = ExactIdentity(server)
