"""The lab: a real ESP kernel, networks and IKE daemons for tests, on any machine.

Read in this order:

guest.py         boots user-mode Linux, a real kernel run as an ordinary process
init.py          what runs first inside it
plugin.py        how pytest outside hands its lab tests to pytest inside
topology.py      hosts, gateways, routers, NATs and links, as a short declaration
world.py         a topology laid as network namespaces, and what tests do with it
peers/           the IKE daemons, one class each
capture.py       packets on a wire, counted
certificates.py  certification authorities for one afternoon
fixtures.py      what a test asks for: `lab`, `netns`

A test reads as a story and lives in tests/kernel or tests/interop; `tests/run`
boots one guest for each of these directories and runs the tests inside.
"""
