/** An append, from the request's body to its acknowledgement: durable, readable and in the change feed by one commit. */
import { writeId } from '../../catalog/appends/write-store.ts';
import { invalidField, isVarveError } from '../../core/errors.ts';
import type { AppendKey, TimeRule } from '../../core/rows/place-append.ts';
import type { Series } from '../../core/signal/series.ts';
import { runsOfStamps } from '../../core/signal/stamps.ts';
import type { AppendResult, Committer } from './committer.ts';
import { withUpload, type BodyUpload, type ReceiveDeps } from './receive-body.ts';
import type { ReceivedPayload } from './receive-payload.ts';
import type { SeriesMemory } from '../series/series-memory.ts';
import type { AppendOutcome, AppendRequest } from './append-service.ts';

export interface AppendDeps extends ReceiveDeps {
  readonly memory: SeriesMemory;
  readonly committer: Pick<Committer, 'submit'>;
}

/**
 * Checks the body and commits it.
 * @throws what is wrong with the body, what {@link Backpressure} or {@link Committer.submit} refuse; unprocessable `overlap`, `expired`, `key-reused`;
 *   conflict `time-not-increasing`, `series-sealed`; not-found
 */
export async function appendSamples(deps: AppendDeps, request: AppendRequest): Promise<AppendOutcome> {
  const { memory } = deps;
  const { principal, ref } = request;
  const remembered = memory.remembered(principal, ref);
  const asked = remembered ? null : await memory.askOne(principal, ref);
  return withUpload(deps, request, async (upload) => {
    if (asked) return append(deps, asked, request, upload, null);
    // A large body is not read twice.
    if (!upload.isSmall) return append(deps, await memory.askOne(principal, ref), request, upload, null);
    try {
      return await append(deps, remembered!, request, upload, remembered!.version);
    } catch (error) {
      if (!mayBeOutOfDate(error)) throw error;
      const series = await memory.askOne(principal, ref);
      if (series.id === remembered!.id && series.version === remembered!.version) throw error;
      return append(deps, series, request, upload, null);
    }
  });
}

async function append(
  { committer }: AppendDeps,
  series: Series,
  request: AppendRequest,
  upload: BodyUpload,
  knownVersion: number | null,
): Promise<AppendOutcome> {
  const { idempotencyKey, principal, gaps } = request;
  const received = await upload.receive(series, idempotencyKey !== null, gaps);
  const startNs = agreedStart(series, request.startNs, received.startNs);
  const { rows, parts, stamps } = received;
  const key = keyOfBody(idempotencyKey, received, startNs);
  const rule = timeRule(series);
  const { tokenId } = principal;
  const runs = rule.kind === 'regular' ? runsOfStamps(rows, startNs, stamps, rule, gaps) : [];
  const item = { seriesId: series.id, rule, knownVersion, rows, runs, parts, key, tokenId };
  const [result] = await committer.submit({ items: [item], atomic: false });
  return toOutcome(result);
}

/** Whether a series that has changed meanwhile may have been the reason, and nothing was stored. */
function mayBeOutOfDate(error: unknown): boolean {
  return isVarveError(error) && error.code !== 'unavailable' && error.code !== 'storage-full';
}

/** @throws what refused it */
export function toOutcome(result: AppendResult): AppendOutcome {
  if (result.kind === 'refused') throw result.error;
  const { commit, ordinal, rows, firstRow, replayed } = result;
  return { write: writeId(commit, ordinal), rows, firstRow, commit, replayed };
}

export function timeRule({ sampling, duplicates }: Pick<Series, 'sampling' | 'duplicates'>): TimeRule {
  return sampling.kind === 'regular' ? sampling : { kind: 'irregular', duplicates };
}

/** @throws invalid-input naming `start` */
export function agreedStart(series: Series, asked: bigint | null, stated: bigint | null): bigint | null {
  if (asked !== null && series.sampling.kind === 'irregular') {
    throw invalidField('start', 'an irregular series has a time on every row, and no start');
  }
  if (asked !== null && stated !== null && asked !== stated) {
    throw invalidField('start', 'the query and the body name different starts');
  }
  return asked ?? stated;
}

export function keyOfBody(
  key: string | null,
  { contentHash }: Pick<ReceivedPayload, 'contentHash'>,
  startNs: bigint | null,
): AppendKey | null {
  if (key === null) return null;
  return { key, hash: Buffer.concat([contentHash!, Buffer.from(startNs === null ? '' : startNs.toString())]) };
}
