"""Privyseal, a network HSM in software: keys are made and kept on one appliance, and others sign with them."""

__version__ = "0.1.0"
