"""The version of the library: read by the build, printed in every metric's signature."""

__version__ = "0.1.0"
