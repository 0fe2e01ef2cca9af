/** Lines that an agent sends, from the body to its acknowledgement: all that are good in one commit, and of the others which, and why. */
import { setImmediate } from 'node:timers/promises';
import { expiredTimes, projectIds } from '../../catalog/series/series-store.ts';
import { keptValues, lockShapes, storeValueChanges } from '../../catalog/series/value-change-store.ts';
import { notFound, VarveError } from '../../core/errors.ts';
import { isOutOfDate, NOT_STORED, type AppendItem, type AppendPart } from '../../core/rows/place-append.ts';
import { nameKey } from '../../core/same-name.ts';
import { INT64_MIN } from '../../core/time.ts';
import { changesOf, type ValueAt } from '../../core/signal/value-changes.ts';
import { JSON_COPIES } from '../../formats/text/exact-json.ts';
import { MAX_LINES_BYTES, MAX_TOLD_LINES, type LineFault } from '../../formats/line-protocol/line-parser.ts';
import { TEXT_CODE } from '../../formats/line-protocol/line-points.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { Backpressure } from '../append/backpressure.ts';
import type { Committer } from '../append/committer.ts';
import { chain, peek } from '../append/receive-body.ts';
import { mayUse } from '../series/series-reach.ts';
import type { LinesOutcome, LinesRequest } from './ingest-service.ts';
import type { LineMemory, LineProject, LineTarget } from './line-memory.ts';
import { findLineSeries, valueKindOf, type FoundTarget, type LineField, type LineSeriesDeps } from './line-series.ts';
import { partsBySeries, receiveWhole, withoutLines, type ReceivedLines } from './receive-lines.ts';

export interface LinesDeps extends LineSeriesDeps {
  readonly memory: LineMemory;
  readonly committer: Pick<Committer, 'submit'>;
  readonly backpressure: Backpressure;
  readonly codec: Pick<CodecPool, 'feed'>;
}

/** Others get their turn after so many series: two milliseconds. */
const TURN_SERIES = 1_000;
/** Times that series are asked for anew, made by others, or refuse lines, in one request. */
const MOST_TRIES = 8;
const RETRY_AFTER_S = 2;

/**
 * @throws forbidden for a project out of reach; not-found `project-unknown`; what is wrong with the body as a whole; what {@link Backpressure} or
 *   {@link Committer.submit} refuse
 */
export async function writeLines(deps: LinesDeps, request: LinesRequest): Promise<LinesOutcome> {
  const project = await projectOf(deps, request);
  const upload = await deps.backpressure.admit(request.declaredBytes, {
    mostHeld: MAX_LINES_BYTES,
    copies: JSON_COPIES,
  });
  const pieces = upload.count(request.body);
  try {
    const { first, rest } = await peek(pieces);
    const rules = { precision: request.precision, nowNs: serverTime() };
    const lines =
      rest === null
        ? receiveWhole(rules, first)
        : await deps.codec.feed<ReceivedLines>('lineProtocol', rules, chain(first, rest));
    return await new LineWrite(deps, request, project, lines).run();
  } finally {
    upload.end();
    // Not waited for: a client may never send what is still to come.
    pieces.return(undefined).catch(() => {});
  }
}

async function projectOf(
  { memory, reads }: LinesDeps,
  { principal, project: name }: LinesRequest,
): Promise<LineProject> {
  if (!mayUse(principal, name)) {
    throw new VarveError('forbidden', `the token does not reach the project ${JSON.stringify(name)}`);
  }
  return memory.project(name, async () => {
    const id = (await projectIds(reads, [name])).get(nameKey(name));
    if (id === undefined) throw notFound('project', name);
    return { id, name };
  });
}

let lastTime = 0n;

/** The clock's time, for lines without one. No two requests have the same: the later one would take the place of the other. */
function serverTime(): bigint {
  const now = BigInt(Date.now()) * 1_000_000n;
  lastTime = now > lastTime ? now : lastTime + 1n;
  return lastTime;
}

class LineWrite {
  readonly #deps: LinesDeps;
  readonly #request: LinesRequest;
  readonly #project: LineProject;
  /** Without the lines that were refused. */
  #lines: ReceivedLines;
  /** By series: what it is remembered by, and where its values go; null: that is to be found out. */
  readonly #keys: string[] = [];
  readonly #targets: (LineTarget | null)[] = [];
  /** Lines that their series have refused. */
  readonly #refused = new Set<number>();
  readonly #faults: LineFault[] = [];
  #isConfirmed = false;
  #isCommitted = false;

  constructor(deps: LinesDeps, request: LinesRequest, project: LineProject, lines: ReceivedLines) {
    this.#deps = deps;
    this.#request = request;
    this.#project = project;
    this.#lines = lines;
  }

  async run(): Promise<LinesOutcome> {
    await this.#remember();
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (!(await this.#find()) || !(await this.#commit()) || !(await this.#storeTexts())) continue;
      const { count, first } = this.#lines.refused;
      const faults = [...first, ...this.#faults].sort((a, b) => a.line - b.line).slice(0, MAX_TOLD_LINES);
      return { refused: count + this.#refused.size, first: faults };
    }
    const message = 'series of the request change while it is worked on';
    throw new VarveError('unavailable', message, { slug: 'series-busy', retryAfterS: RETRY_AFTER_S });
  }

  async #remember(): Promise<void> {
    const { names, nameEnds, kinds } = this.#lines;
    const text = Buffer.from(names.buffer, names.byteOffset, names.byteLength);
    const project = nameKey(this.#project.name);
    let from = 0;
    for (let series = 0; series < kinds.length; series++) {
      if (series % TURN_SERIES === TURN_SERIES - 1) await setImmediate();
      const middle = nameEnds[series * 2];
      const end = nameEnds[series * 2 + 1];
      const key = `${project}\n${kinds[series]} ${middle - from} ${text.toString('latin1', from, end)}`;
      this.#keys.push(key);
      this.#targets.push(this.#deps.memory.find(key) ?? null);
      from = end;
    }
  }

  /** @returns false if some are to be looked for once more */
  async #find(): Promise<boolean> {
    const { rows } = this.#lines;
    const missing = [...rows.keys()].filter((series) => rows[series] > 0 && !this.#targets[series]);
    if (missing.length === 0) return true;
    const { principal } = this.#request;
    const starts = startsOf(rows);
    let faulty: ReadonlySet<number> | undefined;
    const mayMake = (found: readonly (FoundTarget | undefined)[], at: number): boolean => {
      faulty ??= this.#linesOf(missing.filter((_, i) => isFault(found[i])));
      const known = faulty;
      return known.size === 0 || this.#linesOfOne(starts, missing[at]).some((line) => !known.has(line));
    };
    const fields = missing.map((series) => this.#fieldOf(series));
    const found = await findLineSeries(this.#deps, principal, this.#project, fields, mayMake);
    const refusing = new Map<number, string>();
    missing.forEach((series, at) => {
      const each = found[at];
      if (!each) return;
      if ('fault' in each) refusing.set(series, each.fault);
      else {
        this.#targets[series] = each.target;
        this.#deps.memory.keep(this.#keys[series], each.target);
      }
    });
    this.#refuse(refusing);
    return missing.every((series) => this.#targets[series] || this.#lines.rows[series] === 0);
  }

  #fieldOf(series: number): LineField {
    const { names, nameEnds, kinds } = this.#lines;
    const text = Buffer.from(names.buffer, names.byteOffset, names.byteLength);
    const from = series === 0 ? 0 : nameEnds[series * 2 - 1];
    const middle = nameEnds[series * 2];
    const key = text.toString('utf8', from, middle);
    return { key, field: text.toString('utf8', middle, nameEnds[series * 2 + 1]), kind: valueKindOf(kinds[series]) };
  }

  #linesOfOne(starts: Int32Array, series: number): Int32Array {
    const { rows, lines } = this.#lines;
    return lines.subarray(starts[series], starts[series] + rows[series]);
  }

  #linesOf(series: readonly number[]): Set<number> {
    const lines = new Set<number>();
    const wanted = new Set(series);
    let row = 0;
    this.#lines.rows.forEach((count, at) => {
      if (wanted.has(at)) for (const line of this.#lines.lines.subarray(row, row + count)) lines.add(line);
      row += count;
    });
    return lines;
  }

  /** Takes out the lines whose rows would expire at once, and no others of their series. @param why by series */
  async #refuseExpired(why: ReadonlyMap<number, string>): Promise<void> {
    if (why.size === 0) return;
    const idOf = (series: number): string => this.#targets[series]!.id;
    const times = await expiredTimes(this.#deps.reads, [...why.keys()].map(idOf));
    this.#refuse(why, (series, ns) => ns < (times.get(idOf(series)) ?? INT64_MIN));
  }

  /** Takes out all lines that have values for some series. @param why by series; @param isMeant which of their rows */
  #refuse(why: ReadonlyMap<number, string>, isMeant = (_series: number, _ns: bigint): boolean => true): void {
    if (why.size === 0) return;
    let row = 0;
    this.#lines.rows.forEach((count, series) => {
      const reason = why.get(series);
      if (reason !== undefined) {
        for (let at = row; at < row + count; at++) {
          if (!isMeant(series, this.#lines.times[at])) continue;
          const line = this.#lines.lines[at];
          if (!this.#refused.has(line) && this.#faults.length < MAX_TOLD_LINES) {
            const { key, field } = this.#fieldOf(series);
            this.#faults.push({ line, text: '', reason: `${key} ${field}: ${reason}` });
          }
          this.#refused.add(line);
        }
      }
      row += count;
    });
    this.#lines = withoutLines(this.#lines, (line) => this.#refused.has(line));
  }

  /** @returns false if some series have changed, or refused lines */
  async #commit(): Promise<boolean> {
    if (this.#isCommitted) return true;
    const parts = partsBySeries(this.#lines);
    const appended = [...parts.keys()].filter((series) => parts[series].length > 0);
    if (appended.length === 0) return true;
    const items = appended.map((series) => this.#itemOf(series, parts[series]));
    if (!this.#isConfirmed) {
      const bytes = appended.reduce((sum, series) => sum + partBytes(parts[series]), 0);
      await this.#deps.backpressure.confirm(bytes, items.length);
      this.#isConfirmed = true;
    }
    // One refused item refuses all: a line whose other fields are good is not to be stored in part.
    const results = await this.#deps.committer.submit({ items, atomic: true });
    const refusing = new Map<number, string>();
    const expired = new Map<number, string>();
    let isWhole = true;
    results.forEach((result, at) => {
      if (result.kind === 'appended') return;
      isWhole = false;
      if (isOutOfDate(result)) this.#forget(appended[at]);
      else if (result.error.slug === 'expired') expired.set(appended[at], refusalText(result.error));
      else if (result.error.slug !== NOT_STORED) refusing.set(appended[at], refusalText(result.error));
    });
    this.#refuse(refusing);
    await this.#refuseExpired(expired);
    this.#isCommitted = isWhole;
    return isWhole;
  }

  #itemOf(series: number, parts: readonly AppendPart[]): AppendItem {
    const { id, rule, knownVersion } = this.#targets[series]!;
    const { tokenId } = this.#request.principal;
    const rows = this.#lines.rows[series];
    // Whoever is told that a line is stored may rely on it: none vanishes in silence beside newer ones.
    return { seriesId: id, rule, rows, knownVersion, runs: [], parts, refusesExpired: true, key: null, tokenId };
  }

  #forget(series: number): void {
    this.#deps.memory.forget(this.#keys[series]);
    this.#targets[series] = null;
  }

  /** @returns false if some series have changed */
  async #storeTexts(): Promise<boolean> {
    const texts = this.#textsById();
    if (texts.size === 0) return true;
    const changed = await this.#deps.writes.transaction().execute(async (trx) => {
      const shapes = await lockShapes(trx, [...texts.keys()]);
      const outOfDate = [...texts].flatMap(([id, { series }]) =>
        series.filter((each) => !(this.#targets[each]!.knownVersion >= (shapes.get(id) ?? Infinity))),
      );
      if (outOfDate.length > 0) return outOfDate;
      const looks = [...texts].map(([seriesId, { values }]) => ({ seriesId, ...spanOf(values) }));
      const kept = await keptValues(trx, looks);
      const changes = new Map([...texts].map(([id, { values }]) => [id, changesOf(kept.get(id) ?? [], values)]));
      await storeValueChanges(trx, changes, this.#request.principal.tokenId);
      return [];
    });
    for (const series of changed) this.#forget(series);
    return changed.length === 0;
  }

  /** Texts by the id of the series that they go to, in the order of the lines. */
  #textsById(): Map<string, { readonly series: number[]; readonly values: ValueAt[] }> {
    const { kinds, rows, times, texts } = this.#lines;
    const found = new Map<string, { series: number[]; values: ValueAt[] }>();
    let row = 0;
    let text = 0;
    rows.forEach((count, series) => {
      if (kinds[series] === TEXT_CODE && count > 0) {
        const { id } = this.#targets[series]!;
        const own = found.get(id) ?? { series: [], values: [] };
        found.set(id, own);
        own.series.push(series);
        for (let at = row; at < row + count; at++) own.values.push({ ns: times[at], text: texts[text++] });
      }
      row += count;
    });
    return found;
  }
}

/** Where the rows of each series begin. */
function startsOf(rows: Int32Array): Int32Array {
  let row = 0;
  return rows.map((count) => (row += count) - count);
}

function isFault(found: FoundTarget | undefined): boolean {
  return found !== undefined && 'fault' in found;
}

function partBytes(parts: readonly AppendPart[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

function spanOf(values: readonly ValueAt[]): { fromNs: bigint; toNs: bigint } {
  let { ns: fromNs } = values[0];
  let toNs = fromNs;
  for (const { ns } of values) {
    if (ns < fromNs) fromNs = ns;
    if (ns > toNs) toNs = ns;
  }
  return { fromNs, toNs };
}

/** In the words that agents know, where they have some. */
function refusalText({ slug, message }: VarveError): string {
  return slug === 'expired' ? `points beyond retention policy: ${message}` : message;
}
