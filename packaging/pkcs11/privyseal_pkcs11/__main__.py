"""Prints the path of the module."""

import sys

from privyseal_pkcs11 import path

sys.stdout.write(path() + "\n")
