"""A cache that processes share, in Redis (extra `redis`)."""

from matrix_resolve.core.lazy import needs

with needs("redis", "RedisCache"):
    from matrix_resolve.backends.cache_redis.cache import RedisCache

__all__ = ["RedisCache"]
