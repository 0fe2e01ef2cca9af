import { expect, test } from '@jest/globals';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';

const MIB = 1024 * 1024;
const tooMany = { code: 'unavailable', slug: 'too-many-answers', retryAfterS: expect.any(Number) };

async function* body(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1);
  yield Uint8Array.of(2);
}

/** Begins answers and leaves them unread. */
async function begun(room: AnswerRoom, count: number, bytes: number): Promise<AsyncGenerator<Uint8Array>[]> {
  const answers = Array.from({ length: count }, () => room.hold(bytes, body()));
  for (const answer of answers) expect((await answer.next()).value).toEqual(Uint8Array.of(1));
  return answers;
}

test('answers beyond the room are refused, and let in when others were read or left', async () => {
  const room = new AnswerRoom(20);
  const unread = await begun(room, 256, 4 * MIB);
  await expect(room.hold(4 * MIB, body()).next()).rejects.toMatchObject(tooMany);
  await unread[0].return(undefined);
  const [next] = await begun(room, 1, 4 * MIB);
  await expect(room.hold(4 * MIB, body()).next()).rejects.toMatchObject(tooMany);
  while (!(await next.next()).done);
  await begun(room, 1, 4 * MIB);
});

test('large answers leave room to small ones', async () => {
  const room = new AnswerRoom(20);
  await begun(room, 8, 64 * MIB);
  await expect(room.hold(64 * MIB, body()).next()).rejects.toMatchObject(tooMany);
  await begun(room, 64, 8 * MIB);
});

test('one that waits enters when there is room, in time', async () => {
  const room = new AnswerRoom(60_000);
  const [first] = await begun(room, 8, 64 * MIB);
  const waiting = room.hold(64 * MIB, body()).next();
  await first.return(undefined);
  expect((await waiting).value).toEqual(Uint8Array.of(1));
});

test('an answer that is larger than the room has it alone', async () => {
  const room = new AnswerRoom(20);
  const [huge] = await begun(room, 1, 4096 * MIB);
  await expect(room.hold(1, body()).next()).rejects.toMatchObject(tooMany);
  await huge.return(undefined);
  await begun(room, 1, 1);
});

test('one that fails gives its room back', async () => {
  const room = new AnswerRoom(20);
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(1);
    throw new Error('torn');
  }
  for (let i = 0; i < 3; i++) {
    const answer = room.hold(1024 * MIB, failing());
    await answer.next();
    await expect(answer.next()).rejects.toThrow('torn');
  }
});
