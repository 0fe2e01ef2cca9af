/**
 * Commits appends: one transaction is under way while the next batch gathers, so one client waits for one commit and many share one. A body becomes durable,
 * readable and told of in the change feed by the same COMMIT, or is refused without a trace.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import {
  beginCommit,
  commitBatch,
  findCommit,
  heldElsewhere,
  keepSpools,
  segmentsNear,
  type CommitToMake,
  type CommitTrace,
  type FreshToInsert,
} from '../../catalog/appends/append-commit.ts';
import type { CommitSession } from '../../catalog/appends/commit-session.ts';
import type { Session } from '../../catalog/session.ts';
import { VarveError } from '../../core/errors.ts';
import { faultOf, isRefusedByPostgres } from '../../core/fault.ts';
import {
  placeAppends,
  type AppendBody,
  type AppendItem,
  type AppendPart,
  type FreshRun,
  type Head,
  type Placed,
  type Placement,
} from '../../core/rows/place-append.ts';

/** What becomes of an item. */
export type AppendResult =
  | {
      readonly kind: 'appended';
      readonly replayed: boolean;
      readonly commit: bigint;
      readonly ordinal: number;
      readonly rows: number;
      /** Null: rows of an irregular series are numbered in order of time. */
      readonly firstRow: number | null;
    }
  | { readonly kind: 'refused'; readonly error: VarveError };

export interface CommitterDeps {
  readonly connect: () => Promise<CommitSession>;
  /** Makes a spool file of pieces, durable, with its row. @returns its id and where each piece begins */
  readonly spool: (
    pieces: readonly Uint8Array[],
  ) => Promise<{ readonly id: string; readonly offsets: readonly number[] }>;
  /** Undefined: {@link MOST_WAITING_BYTES}. */
  readonly mostWaitingBytes?: number;
  /** Told where a transaction stands, for tests that end it there. */
  readonly onStage?: (stage: CommitStage) => Promise<void> | void;
}

export type CommitStage = 'opened' | 'locked' | 'sent' | 'committed';

/** Limits of a batch. Of four clients that send to the same thousand series, three share a commit: half the processor time for each. */
const MOST_ITEMS = 4_000;
const MOST_SERIES = 2_000;
const MOST_BYTES = 8 * 1024 * 1024;
/** Bytes in memory that wait to be committed; beyond, appends are refused. */
export const MOST_WAITING_BYTES = 64 * 1024 * 1024;
/** A batch with this many bytes or more goes through one spool file, except for parts too small to gain by it. */
const SPOOL_FROM_BYTES = 256 * 1024;
const LEAST_SPOOLED_BYTES = 1024;
/** A series that somebody else keeps locked is waited for this long. */
export const LOCKED_MS = 2_000;
export const LOCKED_PAUSE_MS = 5;
/** How often a batch is tried again that lost its connection, or its transaction to another one. */
const TRIES = 2;
const ASK_TRIES = 20;
const ASK_PAUSE_MS = 250;
const RETRY_AFTER_S = 2;

interface Waiting {
  /** The body as it came … */
  readonly original: AppendBody;
  /** … and with its large parts in the spool file of its batch. */
  body: AppendBody;
  readonly bytes: number;
  lockedSince: number | null;
  settle(results: AppendResult[]): void;
  fail(error: unknown): void;
}

export class Committer {
  readonly #deps: CommitterDeps;
  readonly #queue: Waiting[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | null = null;
  #session: CommitSession | null = null;
  #closed = false;
  /** The newest commit that this committer has made. */
  #last = 0n;
  /** When the transaction that is under way was begun. */
  #attemptSince: number | null = null;

  constructor(deps: CommitterDeps) {
    this.#deps = deps;
  }

  /**
   * Submits a body.
   * @returns what became of each item, once it is certain
   * @throws unavailable `outcome-unknown` if nobody knows what became of it
   * @throws unavailable `backlog-full`, `series-busy` and others; storage-full. Nothing is stored then
   */
  async submit(body: AppendBody): Promise<AppendResult[]> {
    const bytes = bytesInMemory(body.items);
    if (this.#closed) throw unavailable('stopping', 'the service is stopping');
    const { mostWaitingBytes: most = MOST_WAITING_BYTES } = this.#deps;
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > most) {
      throw unavailable('backlog-full', `${this.#waitingBytes} bytes wait to be committed already`);
    }
    this.#waitingBytes += bytes;
    try {
      return await new Promise<AppendResult[]>((settle, fail) => {
        this.#queue.push({ original: body, body, bytes, lockedSince: null, settle, fail });
        this.#running ??= this.#run();
      });
    } finally {
      this.#waitingBytes -= bytes;
    }
  }

  /** How long the transaction has been under way. */
  get stuckMs(): number {
    return this.#attemptSince === null ? 0 : performance.now() - this.#attemptSince;
  }

  /** Commits what waits, and ends the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#session?.close().catch(() => {});
  }

  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const batch = this.#take();
        if (batch.every(({ lockedSince }) => lockedSince !== null)) await sleep(LOCKED_PAUSE_MS);
        await this.#process(batch);
      }
    } finally {
      // In one step with the last look at the queue: what comes between the two would wait for ever.
      this.#running = null;
    }
  }

  /** Settles every body of the batch, or puts it back into the queue. */
  async #process(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#spoolLarge(batch);
    } catch (error) {
      return failAll(batch, error);
    }
    return this.#commit(batch);
  }

  /** The oldest bodies, within the limits of a batch; one body alone may be larger. */
  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const series = new Set<string>();
    let items = 0;
    let bytes = 0;
    for (const next of this.#queue) {
      items += next.body.items.length;
      bytes += next.bytes;
      for (const { seriesId } of next.body.items) series.add(seriesId);
      if (batch.length > 0 && (items > MOST_ITEMS || bytes > MOST_BYTES || series.size > MOST_SERIES)) break;
      batch.push(next);
    }
    this.#queue.splice(0, batch.length);
    return batch;
  }

  /**
   * Spools large parts into a file of this batch alone. A file that a commit has kept may be swept as soon as that
   * commit's chunks are flushed.
   */
  async #spoolLarge(batch: readonly Waiting[]): Promise<void> {
    for (const each of batch) each.body = each.original;
    if (batch.reduce((sum, { body }) => sum + bytesInMemory(body.items), 0) <= SPOOL_FROM_BYTES) return;
    const pieces: Uint8Array[] = [];
    const isLarge = ({ bytes, place }: AppendPart): boolean => place.kind === 'memory' && bytes >= LEAST_SPOOLED_BYTES;
    const mapParts = (change: (part: AppendPart) => AppendPart): void => {
      for (const each of batch) {
        const items = each.body.items.map((item) => ({ ...item, parts: item.parts.map(change) }));
        each.body = { ...each.body, items };
      }
    };
    mapParts((part) => {
      if (isLarge(part) && part.place.kind === 'memory') {
        pieces.push(part.place.values, ...(part.place.times ? [part.place.times] : []));
      }
      return part;
    });
    if (pieces.length === 0) return;
    const { id: spoolId, offsets } = await this.#deps.spool(pieces);
    let next = 0;
    mapParts((part) => {
      if (!isLarge(part) || part.place.kind !== 'memory') return part;
      const valuesOffset = offsets[next++];
      const timesOffset = part.place.times ? offsets[next++] : null;
      return { ...part, place: { kind: 'spool', spoolId, valuesOffset, timesOffset } };
    });
  }

  async #commit(batch: readonly Waiting[], triesLeft = TRIES): Promise<void> {
    try {
      await this.#attempt(batch);
    } catch (error) {
      switch (kindOf(error)) {
        case 'data':
          // One of them is to blame: without it the others must not fail.
          if (batch.length === 1) return batch[0].fail(error);
          await this.#process(batch.slice(0, batch.length / 2));
          return this.#process(batch.slice(batch.length / 2));
        case 'again':
          if (triesLeft > 0) return this.#commit(batch, triesLeft - 1);
          return failAll(batch, unavailable('unavailable', 'Postgres is away, or did not take it. Try again.', error));
        case 'full':
          return failAll(batch, new VarveError('storage-full', 'no space is left in the catalog', { cause: error }));
        case 'other':
          return failAll(batch, error);
      }
    }
  }

  /** @throws what Postgres answered, or that the connection was lost; nothing was committed then, and no body was settled or put back */
  async #attempt(given: readonly Waiting[]): Promise<void> {
    const session = await this.#open();
    const { onStage = () => {} } = this.#deps;
    this.#attemptSince = performance.now();
    try {
      await onStage('opened');
      const wanted = [...new Set(given.flatMap(({ body }) => body.items.map(({ seriesId }) => seriesId)))];
      const { heads, xid, known } = await beginCommit(session, wanted, keysOf(given));
      await onStage('locked');
      const held = await heldAmong(session, given, heads);
      const swept = await sweptAmong(session, without(given, held));
      const batch = without(without(given, held), swept);
      const bodies = batch.map(({ body }) => body);
      const placement = await placeAppends(bodies, heads, known, (looks) => segmentsNear(session, looks));
      let commit: bigint | 'unknown' | null = null;
      if (placement.changes.length === 0) await session.query('rollback');
      else commit = await this.#finish(session, { ...placement, fresh: placement.fresh.map(materialize) }, xid);
      // Only from here on: an attempt that fails is made once more, with all of them.
      this.#putOff(held);
      failAll(swept, unavailable('payload-removed', 'the samples took so long to come that they were swept'));
      if (commit === 'unknown') return failAll(batch, outcomeUnknown());
      if (commit !== null) {
        this.#last = commit;
        await onStage('committed');
      }
      settle(batch, placement, commit);
    } catch (error) {
      if (session.isOpen) await session.query('rollback').catch(() => {});
      throw error;
    } finally {
      this.#attemptSince = null;
    }
  }

  /** @returns the number of the commit, which Postgres is asked for where its answer is lost */
  async #finish(session: CommitSession, change: CommitToMake, xid: string): Promise<bigint | 'unknown'> {
    const marker = randomUUID();
    try {
      const committed = commitBatch(session, change, marker);
      committed.catch(() => {}); // which is waited for below, after the tests have had their turn
      await this.#deps.onStage?.('sent');
      return await committed;
    } catch (error) {
      if (isRefusedByPostgres(error)) throw error;
      const found = await askForCommit(() => this.#open(), { xid, marker, after: this.#last });
      if (found === null) throw error;
      return found;
    }
  }

  async #open(): Promise<CommitSession> {
    if (!this.#session?.isOpen) {
      await this.#session?.close().catch(() => {});
      this.#session = await this.#deps.connect();
    }
    return this.#session;
  }

  /**
   * Bodies with a series that is held elsewhere wait for the next batch, or are refused once they have waited for long.
   */
  #putOff(held: ReadonlySet<Waiting>): void {
    const now = performance.now();
    const later: Waiting[] = [];
    for (const each of held) {
      each.lockedSince ??= now;
      if (now - each.lockedSince < LOCKED_MS) later.push(each);
      else each.fail(unavailable('series-busy', 'something else keeps the series locked'));
    }
    this.#queue.unshift(...later);
  }
}

const NONE: ReadonlySet<Waiting> = new Set();

/** Bodies with a series that somebody else has locked. @param heads those that are locked by the session */
async function heldAmong(
  session: CommitSession,
  given: readonly Waiting[],
  heads: ReadonlyMap<string, Head>,
): Promise<ReadonlySet<Waiting>> {
  const isMissing = ({ seriesId }: AppendItem): boolean => !heads.has(seriesId);
  const missing = new Set(given.flatMap(({ body }) => body.items.filter(isMissing).map(({ seriesId }) => seriesId)));
  if (missing.size === 0) return NONE;
  const held = await heldElsewhere(session, [...missing]);
  return new Set(given.filter(({ body }) => body.items.some(({ seriesId }) => held.has(seriesId))));
}

/** Bodies whose spool file was swept meanwhile: no commit may name it. */
async function sweptAmong(session: CommitSession, given: readonly Waiting[]): Promise<ReadonlySet<Waiting>> {
  const ids = new Set(given.flatMap(({ body }) => spoolsOf(body.items)));
  if (ids.size === 0) return NONE;
  const kept = await keepSpools(session, [...ids]);
  return new Set(given.filter(({ body }) => !spoolsOf(body.items).every((id) => kept.has(id))));
}

function without(given: readonly Waiting[], some: ReadonlySet<Waiting>): readonly Waiting[] {
  return some.size === 0 ? given : given.filter((each) => !some.has(each));
}

/**
 * What became of a transaction whose answer to COMMIT was lost.
 * @param open gives a session that is open
 * @returns the number of its commit; null: it was undone; `unknown`: Postgres does not tell within seconds
 */
export async function askForCommit(
  open: () => Promise<Session>,
  trace: CommitTrace,
): Promise<bigint | 'unknown' | null> {
  for (let tries = 0; tries < ASK_TRIES; tries++) {
    const found = await open()
      .then((session) => findCommit(session, trace))
      .catch(() => undefined);
    if (found !== undefined) return found;
    await sleep(ASK_PAUSE_MS);
  }
  return 'unknown';
}

/** Whether Postgres refuses the content, another try may settle it, the disk is full, or it is a fault of ours. */
function kindOf(error: unknown): 'data' | 'again' | 'full' | 'other' {
  const code = String((error as { code?: unknown }).code);
  if (DATA_SQLSTATE.test(code)) return 'data';
  if (AGAIN_SQLSTATE.test(code)) return 'again';
  const fault = faultOf(error);
  return fault === 'full' ? 'full' : fault === 'away' ? 'again' : 'other';
}

/** SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded. */
const DATA_SQLSTATE = /^(22|23|54)[0-9A-Z]{3}$/;
/** Serialization failure, deadlock, lock not available, query canceled; idle in transaction for too long, transaction timeout. */
const AGAIN_SQLSTATE = /^(40001|40P01|55P03|57014|25P03|25P04)$/;

function settle(batch: readonly Waiting[], { outcomes }: Placement, commit: bigint | null): void {
  batch.forEach((each, i) => each.settle(outcomes[i].map((placed) => toResult(placed, commit))));
}

export function toResult(placed: Placed, commit: bigint | null): AppendResult {
  if (placed.kind === 'refused') return placed;
  return { ...placed, kind: 'appended', commit: placed.commit ?? commit! };
}

function failAll(batch: Iterable<Waiting>, error: unknown): void {
  for (const each of batch) each.fail(error);
}

function keysOf(batch: readonly Waiting[]): { seriesId: string; key: string }[] {
  return batch.flatMap(({ body }) =>
    body.items.flatMap(({ seriesId, key }) => (key ? [{ seriesId, key: key.key }] : [])),
  );
}

/** Ids of the spool files that parts lie in. */
export function spoolsOf(items: readonly AppendItem[]): string[] {
  return items.flatMap(({ parts }) => parts.flatMap(({ place }) => (place.kind === 'spool' ? [place.spoolId] : [])));
}

function bytesInMemory(items: readonly AppendItem[]): number {
  let bytes = 0;
  for (const { parts } of items) for (const part of parts) if (part.place.kind === 'memory') bytes += part.bytes;
  return bytes;
}

/** The bytes of a run as a row of Postgres has them, or the place where they lie. */
export function materialize(run: FreshRun): FreshToInsert {
  const [{ place, valuesCrc, timesCrc }] = run.parts;
  if (place.kind === 'spool') {
    const { spoolId: id, valuesOffset, timesOffset } = place;
    return freshOf(run, valuesCrc, timesCrc, null, { id, valuesOffset, timesOffset });
  }
  if (run.parts.length === 1) return freshOf(run, valuesCrc, timesCrc, place, null);
  const inline = joined(run.parts);
  const { values, times } = inline;
  return freshOf(run, crc32(values), times && crc32(times), inline, null);
}

/** Fields are named one by one. To spread an object of so many costs more than all else that is done for a chunk. */
function freshOf(
  { head, firstRow, rows, bytes, firstNs, lastNs, sorted }: FreshRun,
  valuesCrc: number,
  timesCrc: number | null,
  inline: FreshToInsert['inline'],
  spool: FreshToInsert['spool'],
): FreshToInsert {
  const generation = 0;
  return {
    head,
    firstRow,
    rows,
    bytes,
    firstNs,
    lastNs,
    sorted,
    generation,
    valuesCrc,
    timesCrc,
    inline,
    spool,
  };
}

function joined(parts: readonly AppendPart[]): { values: Uint8Array; times: Uint8Array | null } {
  const places = parts.flatMap(({ place }) => (place.kind === 'memory' ? [place] : []));
  const times = places.flatMap((place) => place.times ?? []);
  return {
    values: Buffer.concat(places.map(({ values }) => values)),
    times: times.length > 0 ? Buffer.concat(times) : null,
  };
}

export function outcomeUnknown(): VarveError {
  return unavailable(
    'outcome-unknown',
    'the connection to Postgres was lost, and it cannot tell whether the rows were stored',
  );
}

/** An error for a body of which nothing is stored, or nobody knows. */
export function unavailable(slug: string, message: string, cause?: unknown): VarveError {
  return new VarveError('unavailable', message, { slug, retryAfterS: RETRY_AFTER_S, cause });
}
