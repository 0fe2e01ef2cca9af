/** An ioredis client that can be ended in every state. */
import { Redis, type RedisOptions } from 'ioredis';

/**
 * A client that ends when it is told to. ioredis forgets a client that is told to disconnect while it waits to
 * reconnect. Its timer is gone then, yet neither the client nor its commands ever end. A worker that closes while Redis
 * is away would wait for them for ever.
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
