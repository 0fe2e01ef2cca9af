import { expect, test } from '@jest/globals';
import { AnswerRoom, DEFAULT_ROOM_LIMITS, type Claim } from '../../src/flows/read/answer-room.ts';

const MIB = 1024 * 1024;
const tooMany = { code: 'unavailable', slug: 'too-many-answers', retryAfterS: expect.any(Number) };

async function* body(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1);
  yield Uint8Array.of(2);
}

/** Begins a read whose answer is left unread. */
async function begin(room: AnswerRoom, bytes: number, held = bytes): Promise<AsyncGenerator<Uint8Array>> {
  return room.admit(bytes, async (claim) => {
    claim.keep(held);
    const answer = claim.over(body());
    expect((await answer.next()).value).toEqual(Uint8Array.of(1));
    return answer;
  });
}

async function begun(room: AnswerRoom, count: number, bytes: number): Promise<AsyncGenerator<Uint8Array>[]> {
  const answers: AsyncGenerator<Uint8Array>[] = [];
  for (let i = 0; i < count; i++) answers.push(await begin(room, bytes));
  return answers;
}

test('reads beyond the room are refused before they begin, and let in when others were read or left', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  const unread = await begun(room, 256, 4 * MIB);
  let hasBegun = false;
  const refused = room.admit(4 * MIB, async () => (hasBegun = true));
  await expect(refused).rejects.toMatchObject(tooMany);
  expect(hasBegun).toBe(false);
  await unread[0].return(undefined);
  const next = await begin(room, 4 * MIB);
  await expect(begin(room, 4 * MIB)).rejects.toMatchObject(tooMany);
  while (!(await next.next()).done);
  await begin(room, 4 * MIB);
});

test('half the room takes half as many', async () => {
  const room = new AnswerRoom({ bytes: DEFAULT_ROOM_LIMITS.bytes / 2, waitMs: 20 });
  await begun(room, 128, 4 * MIB);
  await expect(begin(room, 4 * MIB)).rejects.toMatchObject(tooMany);
  expect(room.bytes).toBe(512 * MIB);
});

test('so many reads wait; one more is refused at once', async () => {
  const room = new AnswerRoom({ waiting: 2, waitMs: 60_000 });
  const [first] = await begun(room, 1, 1024 * MIB);
  const waiting = [begin(room, MIB), begin(room, MIB)];
  await expect(begin(room, MIB)).rejects.toMatchObject(tooMany);
  await first.return(undefined);
  expect(await Promise.all(waiting)).toHaveLength(2);
});

test('large answers leave room to small ones', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  await begun(room, 8, 64 * MIB);
  await expect(begin(room, 64 * MIB)).rejects.toMatchObject(tooMany);
  await begun(room, 64, 8 * MIB);
});

test('one that waits enters when there is room, in time', async () => {
  const room = new AnswerRoom({ waitMs: 60_000 });
  const [first] = await begun(room, 8, 64 * MIB);
  const waiting = begin(room, 64 * MIB);
  await first.return(undefined);
  await waiting;
});

test('what a read turns out not to need is free at once', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  for (let i = 0; i < 8; i++) await begin(room, 64 * MIB, MIB);
  expect(room.bytes).toBe(8 * MIB);
  await begin(room, 64 * MIB);
});

test('a read that needs more gives up what it has, and begins anew when there is room for all', async () => {
  const room = new AnswerRoom({ waitMs: 60_000 });
  const [unread] = await begun(room, 1, 960 * MIB);
  const claims: number[] = [];
  const growing = room.admit(16 * MIB, async (claim: Claim) => {
    claims.push(claim.bytes);
    claim.need(128 * MIB);
    return claim;
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(room.bytes).toBe(960 * MIB);
  await unread.return(undefined);
  (await growing).release();
  expect(claims).toEqual([16 * MIB, 128 * MIB]);
  expect(room.bytes).toBe(0);
});

test('a read that needs more each time is refused in the end, and holds nothing', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  await expect(room.admit(MIB, async (claim) => claim.need(claim.bytes + 1))).rejects.toMatchObject(tooMany);
  expect(room.bytes).toBe(0);
});

test('an answer that is larger than the room has it alone', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  const [huge] = await begun(room, 1, 4096 * MIB);
  await expect(begin(room, 1)).rejects.toMatchObject(tooMany);
  await huge.return(undefined);
  await begin(room, 1);
});

test('one that fails gives its room back', async () => {
  const room = new AnswerRoom({ waitMs: 20 });
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(1);
    throw new Error('torn');
  }
  for (let i = 0; i < 3; i++) {
    const answer = await room.admit(1024 * MIB, async (claim) => claim.over(failing()));
    await answer.next();
    await expect(answer.next()).rejects.toThrow('torn');
    await expect(
      room.during(1024 * MIB, async () => {
        throw new Error('torn');
      }),
    ).rejects.toThrow('torn');
  }
  expect(room.bytes).toBe(0);
});
