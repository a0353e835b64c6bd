"""The exchanges of IKEv1 will live here: main.py, aggressive.py, quick.py, informational.py, transaction.py."""
