"""`redis-cli ping` for where there is no redis-cli: says what the Redis of this machine answers to REDISCLI_AUTH."""

import os

import redis

print("PONG" if redis.Redis(host="127.0.0.1", password=os.environ["REDISCLI_AUTH"], socket_timeout=3).ping() else "")
