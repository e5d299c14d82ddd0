"""What both users of aiohttp share: pinned addresses and TLS."""
