"""What a daemon that was killed left in the kernel, and how it is told from what others put there."""

from __future__ import annotations

from typing import Any

import xfrm
from ikectl.kernel.policies import FIRST_INDEX, LAST_INDEX


def sweep(channel: xfrm.Channel) -> int:
    """Remove leftovers of ours; how many policies and SAs that was.

    Policies are known by the range of their index, which is ours alone;
    SAs by being what such a policy demands. Raises XfrmError.
    """
    policies = [
        info.policy
        for found in channel.dump(xfrm.DumpPolicy())
        for info in found
        if FIRST_INDEX <= info.policy.index <= LAST_INDEX
    ]
    if not policies:
        return 0
    wanted = {_demand(template) for policy in policies for template in policy.templates}
    requests: list[xfrm.Request[Any]] = [
        xfrm.DelPolicy(xfrm.PolicyIndex(policy.index, policy.mark, policy.if_id)) for policy in policies
    ]
    for found in channel.dump(xfrm.DumpSa()):
        for info in found:
            sa = info.sa
            ends = (None, None) if sa.mode == xfrm.Mode.TRANSPORT else (sa.src, sa.dst)
            if (*ends, sa.proto, sa.mode, sa.reqid) in wanted:
                requests.append(xfrm.DelSa(sa.id))
    channel.batch(requests)
    return len(requests)


def _demand(template: xfrm.Template) -> tuple[object, ...]:
    ends = (None, None) if template.mode == xfrm.Mode.TRANSPORT else (template.src, template.dst)
    return (*ends, template.proto, template.mode, template.reqid)
