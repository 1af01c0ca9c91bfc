"""A host's set-up: the files by which programs here reach the appliance, and the walk along them link by link.

`connect.py` says what is in them, `journal.py` writes them so that all of it can be taken back, `doctor.py` walks.
"""
