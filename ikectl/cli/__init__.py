"""The command line: it speaks vici to the daemon and does nothing else.

app.py        the typer tree and `main`
failure.py    exit codes, and errors that say what to do next
names.py      what a NAME means, and completion of names
render.py     text and JSON of what the daemon answers
up.py sas.py conns.py certs.py config.py log.py     one noun or verb each
"""
