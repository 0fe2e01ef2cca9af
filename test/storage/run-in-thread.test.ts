import { expect, test } from '@jest/globals';
import { runInThread } from '../../src/storage/threads/run-in-thread.ts';

test('a thread that needs more memory than it may have dies alone', async () => {
  const greedy = new URL('data:text/javascript,const all = []; for (;;) all.push(new Array(1000).fill({ a: 1 }))');
  await expect(runInThread(greedy, {}, undefined, 16)).rejects.toMatchObject({ code: 'ERR_WORKER_OUT_OF_MEMORY' });
});
