"""The control protocol: strongSwan's vici, spoken on a Unix socket.

    message.py    trees <-> octets, packets, frames
    requests.py   what a command asks for, as records
    commands.py   the table: name -> request, function, stream
    shapes.py     records of the engine -> trees with swanctl's keys
    feed.py       events of the engine -> the events clients register for
    session.py    one client's conversation, octets in and octets out
    ports.py      what the commands need of the daemon
    client.py     a blocking client; imports message.py only

Nothing here owns a socket but client.py: `ikectl.daemon.vici_socket` carries
the octets for the server's side.
"""
