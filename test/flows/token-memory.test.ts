/** What a request costs that says who it is. The database is real; what it is asked is counted. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KyselyPlugin } from 'kysely';
import { openDatabase, type Database, type OpenDatabase } from '../../src/catalog/database.ts';
import type { Listener } from '../../src/catalog/listener.ts';
import { listenForTokens } from '../../src/catalog/people/token-listener.ts';
import { accessService, ensureAccess } from '../../src/flows/people/access.ts';
import type { AccessService } from '../../src/flows/people/access-service.ts';
import { sessionService } from '../../src/flows/people/sessions.ts';
import type { SessionService } from '../../src/flows/people/session-service.ts';
import { SignInCodes } from '../../src/flows/people/sign-in-codes.ts';
import { TokenMemory } from '../../src/flows/people/token-memory.ts';
import { execute, testDatabase, type TestDatabase } from '../support/postgres.ts';

const FIRST = 'the-first-token-of-all';
/** Many requests, and far fewer queries: how few depends on the time they take. */
const REQUESTS = 500;
const FEW = 25;

let database: TestDatabase;
let open: OpenDatabase;
let queries = 0;
let counted: Database;
let here: AccessService;
/** As another process has it. */
let there: AccessService;
const listeners: Listener[] = [];

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 4, onError: () => {} });
  const counter: KyselyPlugin = {
    transformQuery: ({ node }) => {
      queries++;
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  counted = open.db.withPlugin(counter);
  await ensureAccess(open.db, FIRST);
  here = await access();
  there = await access();
});

afterAll(async () => {
  for (const each of listeners) await each.close();
  await open?.close();
  await database?.drop();
});

async function access(): Promise<AccessService> {
  const memory = new TokenMemory(counted, () => listener.isListening);
  const listener = listenForTokens(
    database.url,
    () => memory.forget(),
    () => {},
  );
  listeners.push(listener);
  while (!listener.isListening) await sleep(5);
  return accessService({ reads: counted, writes: counted }, memory);
}

async function queriesOf(work: () => Promise<unknown>): Promise<number> {
  const before = queries;
  await work();
  return queries - before;
}

const isKnown = (service: AccessService, token: string): Promise<boolean> =>
  service.authenticate(token).then(
    () => true,
    (error: { code?: string }) => {
      if (error.code !== 'unauthorized') throw error;
      return false;
    },
  );

/** A notification takes a moment; it is waited for as long as a test may last. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

describe('who asks is known without a query for each request', () => {
  test('by a valid token', async () => {
    expect(await isKnown(here, FIRST)).toBe(true);
    const spent = await queriesOf(async () => {
      for (let i = 0; i < REQUESTS; i++) expect(await isKnown(here, FIRST)).toBe(true);
    });
    expect(spent).toBeLessThan(FEW);
  });

  test.each([
    ['one unknown token again and again', () => 'unknown'],
    ['unknown tokens that are all different', () => randomUUID()],
  ])('with %s', async (_, token) => {
    const spent = await queriesOf(async () => {
      for (let i = 0; i < REQUESTS; i++) expect(await isKnown(here, token())).toBe(false);
    });
    expect(spent).toBeLessThan(FEW);
  });

  test('by many at once', async () => {
    await here.createToken({ name: 'x', scopes: ['read'], projects: null });
    const spent = await queriesOf(() => Promise.all(Array.from({ length: REQUESTS }, () => isKnown(here, FIRST))));
    expect(spent).toBeLessThan(FEW);
  });

  test('where there are more tokens than are remembered, unless each is another', async () => {
    await execute(
      database.url,
      `insert into tokens (id, name, hash, scopes)
       select gen_random_uuid(), 'many', sha256(n::text::bytea), '{read}' from generate_series(1, 12000) n`,
    );
    await until(async () => (await Promise.all([isKnown(here, '1'), isKnown(here, '12000')])).every(Boolean));
    for (const token of ['1', '6000', '12000']) expect(await isKnown(here, token)).toBe(true);
    expect(await isKnown(here, 'unknown')).toBe(false);
    const spent = await queriesOf(async () => {
      for (let i = 0; i < REQUESTS; i++) {
        expect(await isKnown(here, 'unknown')).toBe(false);
        expect(await isKnown(here, '12000')).toBe(true);
      }
    });
    expect(spent).toBeLessThan(FEW);
    await execute(database.url, `delete from tokens where name = 'many'`);
    await until(async () => !(await isKnown(here, '12000')));
  });
});

describe('a change of tokens acts at once', () => {
  test('in the process that makes it, and in every other', async () => {
    const { token, record } = await here.createToken({ name: 'x', scopes: ['read'], projects: ['default'] });
    expect(await here.authenticate(token)).toMatchObject({ tokenId: record.id, projects: { names: ['default'] } });
    await until(() => isKnown(there, token));
    await here.revokeToken(record.id);
    expect(await isKnown(here, token)).toBe(false);
    await until(async () => !(await isKnown(there, token)));
  });

  test('also where it is made in SQL', async () => {
    const { token, record } = await here.createToken({ name: 'x', scopes: ['read'], projects: null });
    expect(await isKnown(here, token)).toBe(true);
    await execute(database.url, `update tokens set revoked_at = now() where id = '${record.id}'`);
    await until(async () => !(await isKnown(here, token)));
  });

  test('and where it is not told, within a second or so', async () => {
    const memory = new TokenMemory(open.db, () => false);
    const deaf = accessService({ reads: open.db, writes: open.db }, memory);
    const { token, record } = await here.createToken({ name: 'x', scopes: ['read'], projects: null });
    expect(await isKnown(deaf, token)).toBe(true);
    await here.revokeToken(record.id);
    await until(async () => !(await isKnown(deaf, token)));
  });
});

describe('the first token', () => {
  test('takes the place of the one before, which is valid no more, and may come back', async () => {
    await ensureAccess(open.db, 'another-first-token');
    await until(async () => !(await isKnown(here, FIRST)));
    expect(await isKnown(here, 'another-first-token')).toBe(true);
    await ensureAccess(open.db, FIRST);
    await until(() => isKnown(here, FIRST));
    expect(await isKnown(here, 'another-first-token')).toBe(false);
  });

  test('that was revoked stays so at the next start', async () => {
    await ensureAccess(open.db, 'a-first-token-to-revoke');
    await until(() => isKnown(here, 'a-first-token-to-revoke'));
    const first = (await here.listTokens()).find(({ name }) => name === 'first');
    await here.revokeToken(first!.id);
    await ensureAccess(open.db, 'a-first-token-to-revoke');
    expect(await isKnown(here, 'a-first-token-to-revoke')).toBe(false);
    await ensureAccess(open.db, FIRST);
  });

  test('leaves tokens alone that were made by request, whatever they are called', async () => {
    const { token } = await here.createToken({ name: 'first', scopes: ['admin'], projects: null });
    await ensureAccess(open.db, 'yet-another-first-token');
    await ensureAccess(open.db, FIRST);
    expect(await isKnown(here, token)).toBe(true);
  });
});

describe('a code', () => {
  /** With a clock of the test. */
  function signingIn(): { codes: SignInCodes; sessions: SessionService; clock: { ms: number } } {
    const clock = { ms: 0 };
    const codes = new SignInCodes(() => clock.ms);
    const memory = new TokenMemory(open.db, () => false);
    return { codes, sessions: sessionService({ reads: open.db, writes: open.db }, memory, codes), clock };
  }
  const refused = { code: 'unauthorized', slug: 'code-used', errors: [{ field: 'code' }] };

  test('signs in once, with the token that it was made for', async () => {
    const { token, record } = await here.createToken({ name: 'coded', scopes: ['read'], projects: null });
    const { codes, sessions } = signingIn();
    const code = codes.make(token);
    const { secret } = await sessions.signIn({ code });
    const principal = await sessions.authenticateSession(secret);
    expect(principal).toMatchObject({ tokenId: record.id, scopes: ['read'] });
    expect(await sessions.session(principal, secret)).toMatchObject({ token: { name: 'coded' } });
    await expect(sessions.signIn({ code })).rejects.toMatchObject(refused);
  });

  test('signs nobody in when it is an hour old, made elsewhere, or of a token that was revoked', async () => {
    const { codes, sessions, clock } = signingIn();
    const [old, young] = [codes.make(FIRST), codes.make(FIRST)];
    clock.ms = 3_599_999;
    await sessions.signIn({ code: young });
    clock.ms = 3_600_000;
    await expect(sessions.signIn({ code: old })).rejects.toMatchObject(refused);
    await expect(sessions.signIn({ code: signingIn().codes.make(FIRST) })).rejects.toMatchObject(refused);
    const { token, record } = await here.createToken({ name: 'x', scopes: ['read'], projects: null });
    const code = codes.make(token);
    await here.revokeToken(record.id);
    await expect(sessions.signIn({ code })).rejects.toMatchObject(refused);
  });

  test('is one way to have many sessions, of which a token keeps the hundred youngest', async () => {
    const { token, record } = await here.createToken({ name: 'x', scopes: ['read'], projects: null });
    const { sessions } = signingIn();
    const { secret: first } = await sessions.signIn({ token });
    await execute(
      database.url,
      `insert into sessions (hash, token_id, created_at, ends_at)
       select sha256(n::text::bytea), '${record.id}', now(), now() + interval '1 day' from generate_series(1, 99) n`,
    );
    const { secret: last } = await sessions.signIn({ token });
    expect(await sessions.authenticateSession(last)).toMatchObject({ tokenId: record.id });
    await expect(sessions.authenticateSession(first)).rejects.toMatchObject({ slug: 'session-ended' });
  });
});
