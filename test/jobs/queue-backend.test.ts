/** What opening a queue's server promises where the server is away or refuses. */
import { describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { openQueueBackend } from '../../src/jobs/queue-backend.ts';
import { hasRedisServer, startRedis } from '../support/redis.ts';

/** A port on which nothing listens: reserved, and never given to a program by chance. */
const NOBODY = '127.0.0.1:1';

function memoryLog(): { log: pino.Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }), lines };
}

describe('a queue server that is away', () => {
  test('is an error at once on Postgres, without the password', async () => {
    const { log, lines } = memoryLog();
    const opening = openQueueBackend({ kind: 'postgres', url: `postgres://varve:sesame@${NOBODY}/varve` }, log);
    const error = await opening.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'unavailable', slug: 'queue-unavailable' });
    expect(JSON.stringify([error, String(error), ...lines])).not.toContain('sesame');
  });

  test('is no error on Redis: it may come later, and until then ping says so', async () => {
    const { log, lines } = memoryLog();
    const backend = await openQueueBackend({ kind: 'redis', url: `redis://varve:sesame@${NOBODY}` }, log);
    try {
      await expect(backend.ping()).rejects.toMatchObject({ code: 'unavailable' });
      expect(lines.join()).toContain('ECONNREFUSED');
      expect(lines.join()).not.toContain('sesame');
    } finally {
      await backend.close();
    }
  });

  test('says so once, not at every attempt to reach it', async () => {
    const { log, lines } = memoryLog();
    const backend = await openQueueBackend({ kind: 'redis', url: `redis://${NOBODY}` }, log);
    await backend.close();
    expect(lines).toHaveLength(1);
  });
});

test.each(['not a url', 'redis://:sesame@host:port'])('%j is refused without being repeated', async (url) => {
  const { log } = memoryLog();
  await expect(openQueueBackend({ kind: 'redis', url }, log)).rejects.toMatchObject({
    code: 'invalid-input',
    message: 'the redis URL is not a URL',
  });
});

(hasRedisServer() || process.env.VARVE_TEST_NO_SKIP === '1' ? test : test.skip)(
  'a refused login is logged without the password',
  async () => {
    const redis = await startRedis();
    const { log, lines } = memoryLog();
    const url = redis.url.replace('redis://', 'redis://varve:sesame@');
    const backend = await openQueueBackend({ kind: 'redis', url }, log);
    try {
      await expect(backend.ping()).rejects.toMatchObject({ code: 'unavailable' });
      expect(lines.join()).toContain('WRONGPASS');
      expect(lines.join()).not.toContain('sesame');
    } finally {
      await backend.close();
      await redis.drop();
    }
  },
);
