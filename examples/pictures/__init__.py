"""The pictures of the README: commands run against a loopback federation, drawn as SVG."""
