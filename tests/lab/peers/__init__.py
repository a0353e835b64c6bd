"""IKE daemons the lab can run, one file each.

To add one: a subclass of `base.Peer` (or of `base.ViciPeer`, when it is
controlled over vici) and, if tests should name it often, a method on World.
"""
