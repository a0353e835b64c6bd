"""Programs the lab can run, one file each.

IKE daemons are subclasses of `base.Peer` (or of `base.ViciPeer`, when they are
controlled over vici) with, if tests should name them often, a method on World;
everything else that runs beside them is a `base.Program`.
"""
