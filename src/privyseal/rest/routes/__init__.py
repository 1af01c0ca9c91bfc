"""The framework's routes, one file per resource; `hot.py` beside this folder has the fast ones."""
