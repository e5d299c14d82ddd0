"""A cache that processes share, in Redis (extra `redis`)."""

from matrix_resolve.backends.cache_redis.cache import RedisCache

__all__ = ["RedisCache"]
