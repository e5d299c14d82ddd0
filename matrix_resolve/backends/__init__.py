"""Ready-made plug-ins, one third-party library to a file. None imports another."""
