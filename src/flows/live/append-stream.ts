/** Appends that are answered while they come, line by line. What has arrived while a batch was committed is the next batch. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { lastSequence } from '../../catalog/appends/source-store.ts';
import { isVarveError, VarveError } from '../../core/errors.ts';
import { readItemLine } from '../../formats/samples/item-lines.ts';
import type { ReadItem } from '../../formats/samples/sample-items.ts';
import { appendItems, type AppendManyDeps, type AppendManyOutcome } from '../append/append-many.ts';
import { ArrivingLines, type ArrivedLine } from './arriving-lines.ts';
import { HEARTBEAT_MS } from './follow-changes.ts';
import { isAway } from './live-error.ts';
import type { LivePlaces } from './live-places.ts';
import type { AnsweredItem, AppendStreamRequest, StreamEvent } from './live-service.ts';

export interface StreamDeps extends AppendManyDeps {
  readonly streams: LivePlaces;
  /** Given when the service stops. */
  readonly stopping: AbortSignal;
}

/** Items of one commit of a stream. */
const MOST_ITEMS = 1_000;
/** Others get their turn after so many characters. */
const TURN_CHARS = 64 * 1024;
/** While the service cannot take more, a stream is not read; after so long it is ended. */
const PATIENCE_MS = 30_000;
const PATIENCE_PAUSE_MS = 250;
/** A stream is ended before Node ends the request that it is: the client opens a new one. */
export const MOST_STREAM_MS = 5 * 60 * 60 * 1000;

/** @throws before the first event what {@link LiveService.appendStream} says */
export async function* appendStream(deps: StreamDeps, request: AppendStreamRequest): AsyncGenerator<StreamEvent> {
  const { stopping } = deps;
  const giveBack = deps.streams.take();
  const { source, body } = request;
  let lines: ArrivingLines | null = null;
  try {
    const principal = await request.principal();
    (await deps.backpressure.admit(0)).end();
    const reach = principal.projects?.ids ?? null;
    yield {
      kind: 'open',
      source,
      lastSequence: source === null ? null : await lastSequence(deps.reads, source, reach),
    };
    lines = new ArrivingLines(body);
    const untilMs = performance.now() + MOST_STREAM_MS;
    for (;;) {
      if (stopping.aborted) return yield endEvent('stopping', 'the service is stopping');
      if (performance.now() > untilMs) return yield endEvent('renew', 'the stream has lasted long: open a new one');
      const arrived = await lines.take(MOST_ITEMS, HEARTBEAT_MS, stopping);
      if (arrived === null) return;
      if (arrived.length === 0) {
        await request.principal();
        yield { kind: 'heartbeat' };
        continue;
      }
      const read = await readLines(arrived);
      const outcome = yield* commit(deps, request, read);
      yield { kind: 'items', items: answersOf(read, outcome) };
    }
  } catch (error) {
    // Before the first event it is an answer by itself.
    if (!lines) throw error;
    const isRevoked = isVarveError(error) && error.code === 'unauthorized';
    yield { kind: 'end', reason: isRevoked ? 'unauthorized' : 'refused', error };
  } finally {
    lines?.stop();
    giveBack();
  }
}

function endEvent(reason: 'stopping' | 'renew', message: string): StreamEvent {
  return { kind: 'end', reason, error: new VarveError('unavailable', message, { slug: reason, retryAfterS: 1 }) };
}

async function readLines(arrived: readonly ArrivedLine[]): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  let chars = 0;
  for (const { line, text } of arrived) {
    chars += text.length;
    if (chars > TURN_CHARS) {
      chars = text.length;
      await setImmediate();
    }
    items.push(readItemLine(line, text));
  }
  return items;
}

/** Waits while the service cannot take more: nothing is stored then, and the client finds that nothing is read. */
async function* commit(
  deps: StreamDeps,
  request: AppendStreamRequest,
  read: readonly ReadItem[],
): AsyncGenerator<StreamEvent, AppendManyOutcome> {
  const { project, gaps, source, describe } = request;
  const rules = { format: 'ndjson', project, gaps, source, describe, atomic: false, idempotencyKey: null } as const;
  const began = performance.now();
  for (let saidMs = began; ;) {
    try {
      const principal = await request.principal();
      (await deps.backpressure.admit(0)).end();
      return await appendItems(deps, { ...rules, principal }, read);
    } catch (error) {
      const isKnown = !(isVarveError(error) && error.slug === 'outcome-unknown');
      const isOver = performance.now() - began > PATIENCE_MS || deps.stopping.aborted;
      if (!isAway(error) || !isKnown || isOver) throw error;
    }
    await sleep(PATIENCE_PAUSE_MS);
    if (performance.now() - saidMs > HEARTBEAT_MS) {
      saidMs = performance.now();
      yield { kind: 'heartbeat' };
    }
  }
}

function answersOf(read: readonly ReadItem[], { items }: AppendManyOutcome): AnsweredItem[] {
  return items.map((item, at): AnsweredItem => {
    const given = read[at];
    return { item, sequence: 'item' in given ? given.item.sequence : null };
  });
}
