"""Backends that put children into the kernel. `netlink` and `interfaces` alone know `xfrm`."""
