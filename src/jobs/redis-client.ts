/** An ioredis client that can be ended in every state. */
import { Redis, type RedisOptions } from 'ioredis';

/**
 * ioredis forgets a client that is told to disconnect while it waits to reconnect: its timer is gone, yet neither it nor
 * its commands ever end, and a worker that closes while Redis is away waits for them for ever. This client ends.
 */
export function openRedisClient(url: string, options: RedisOptions): Redis {
  return endable(new Redis(url, { ...options }));
}

function endable(redis: Redis): Redis {
  const disconnect = redis.disconnect.bind(redis);
  const duplicate = redis.duplicate.bind(redis);
  redis.disconnect = (reconnect = false) => {
    // A client that has not begun to connect is ended properly.
    if (!reconnect && redis.status === 'reconnecting') redis.status = 'wait';
    disconnect(reconnect);
  };
  // BullMQ duplicates a worker's client to have one that may block.
  redis.duplicate = (override) => endable(duplicate(override));
  return redis;
}
