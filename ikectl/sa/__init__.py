"""Facts: what an SA is, which transitions are legal, what may be asked and what observers may learn.

Nothing here acts. An exchange receives these records and can reach nothing above them.
"""
